// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line: what can be said, and what is no sense. Not what is done about it, and not what
//! is said to managers, which [`manage`] has.

mod manage;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vmtp::{Domain, Entity, GROUP_SIZE, MESSAGE_SIZE};

pub(crate) use manage::{
    Asking, Count, EntityCommand, GroupCommand, MoveCommand, Node, Origin, PERMISSIONS,
};

const ENTITIES: &str = "\
An ENTITY is written as LE-25593-36.8.0.49, or as its 64 bits in decimal or 0x hexadecimal.

Exit status: 0 if all went well, 1 if a transaction failed or nobody answered, 2 if it could not be \
tried.";

/// Message transactions over VMTP (RFC 1045)
#[derive(Parser, Debug)]
#[command(name = "vmtp", version, after_help = ENTITIES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Where /proc is
    #[arg(
        long,
        global = true,
        hide = true,
        env = "VMTP_PROC_ROOT",
        default_value = "/proc"
    )]
    pub(crate) proc_root: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Ping(Ping),
    Echo(Echo),
    Call(Box<Call>),
    Probe(Probe),
    Msg(crate::msg::Msg),
    #[command(name = "msgd")]
    MsgServer(crate::msg::MsgServer),
    #[command(name = "filed")]
    FileServer(crate::files::FileServer),
    Mount(crate::files::MountFiles),
    Node(Node),
    #[command(subcommand)]
    Entity(EntityCommand),
    #[command(subcommand)]
    Group(GroupCommand),
    #[command(subcommand)]
    Move(MoveCommand),
    #[command(name = "rpcbind")]
    RpcBind(crate::rpc::RpcBind),
    #[command(name = "rpc-gateway")]
    RpcGateway(crate::rpc::RpcGateway),
    #[command(name = "rpcinfo")]
    RpcInfo(crate::rpc::RpcInfo),
    Show(Show),
    Top(Top),
    Monitor(Monitor),
    Completion(Completion),
}

/// Show packets, changes of state, timeouts and drops while they happen, one line each
///
/// It needs root, and shows all network namespaces of the machine. Ctrl-C ends it.
#[derive(Args, Debug)]
pub(crate) struct Monitor {
    /// End after so many events
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Where the kernel's tracing is
    #[arg(
        long,
        hide = true,
        env = "VMTP_TRACING",
        default_value = "/sys/kernel/tracing"
    )]
    pub(crate) tracing: PathBuf,
}

/// From whom and where to; the same for each command that sends
#[derive(Args, Debug, Default)]
pub(crate) struct Way {
    /// IPv4 address of the host to send to, whatever the identifier says
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<Ipv4Addr>,

    /// Time to live of multicast packets: how many networks they cross
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8))]
    pub(crate) ttl: Option<u8>,

    /// The entity domain of all that is named: 1, the Internet's, or 3, that of one network
    #[arg(long, value_name = "N", default_value_t)]
    pub(crate) domain: Domain,

    /// Be this entity instead of one given by the host
    #[arg(long, value_name = "ENTITY", value_parser = entity, default_value = "0", hide_default_value = true)]
    pub(crate) from: Entity,
}

/// Send Requests to an entity that echoes them, and time the Responses
///
/// The entity is `vmtp echo` or does as it does. Each Response must have the data of its Request.
/// Ctrl-C ends it with the statistics.
#[derive(Args, Debug)]
pub(crate) struct Ping {
    /// Whom to send to
    #[arg(value_parser = entity)]
    pub(crate) entity: Entity,

    /// Stop after N Requests
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Octets of segment, up to 4194304
    #[arg(short, long, value_name = "OCTETS", default_value_t = 0, value_parser = size)]
    pub(crate) size: usize,

    /// Seconds between two Requests; 0 sends the next at once
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,

    /// Give a Request up after this many milliseconds; else when its retransmissions are used up
    #[arg(short = 'W', long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,

    /// How often a Request is sent again
    #[arg(short, long, value_name = "N")]
    pub(crate) retries: Option<u8>,

    /// Only the statistics
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) way: Way,
}

/// Answer every Request with what is in it
///
/// The Response has code 0, the 12 octets of the Request's UserData field at the start of its user
/// data, and the same segment; or code 0x80005A and none if it is longer than --max or than the Client
/// takes.
#[derive(Args, Debug)]
pub(crate) struct Echo {
    /// Which entity to be; 0 is one given by the host
    #[arg(short, long, value_parser = entity, default_value = "0", hide_default_value = true)]
    pub(crate) entity: Entity,

    /// In which entity domain: 1, the Internet's, or 3, that of one network
    #[arg(long, value_name = "N", default_value_t, conflicts_with = "stdin")]
    pub(crate) domain: Domain,

    /// Be the entity of the socket that is the standard input, as `vmtp move receive` hands it over
    #[arg(long, conflicts_with = "entity")]
    pub(crate) stdin: bool,

    /// Join a group, to answer its Requests too
    #[arg(long, value_name = "GROUP", value_parser = group)]
    pub(crate) join: Vec<Entity>,

    /// Receive in N threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,

    /// Stop after N Requests
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// The greatest segment that is received
    #[arg(long, value_name = "OCTETS", default_value_t = GROUP_SIZE, value_parser = size)]
    pub(crate) max: usize,

    /// A line for each Request
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Do one message transaction
///
/// Sends a Request and prints the Response: its code, user data, and how much segment it has.
#[derive(Args, Debug)]
pub(crate) struct Call {
    /// Whom to send to
    #[arg(value_parser = entity)]
    pub(crate) entity: Entity,

    /// The Code word: 24 bits of code, and flags if you like; decimal or 0x hexadecimal
    #[arg(short, long, value_name = "CODE", value_parser = word)]
    pub(crate) code: u32,

    /// The segment is in this file; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,

    /// Write the Response's segment to this file; - is the standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Give up after this many milliseconds; else when the retransmissions are used up
    #[arg(short = 'W', long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,

    /// How often the Request is sent again
    #[arg(short, long, value_name = "N")]
    pub(crate) retries: Option<u8>,

    /// User data in hexadecimal: up to 12 octets, or 20 without --coresident
    #[arg(short, long, value_name = "HEX", value_parser = user_data, default_value = "", hide_default_value = true)]
    pub(crate) user_data: UserData,

    /// The greatest segment that is received
    #[arg(long, value_name = "OCTETS", default_value_t = GROUP_SIZE, value_parser = size)]
    pub(crate) max: usize,

    /// For whoever of a group is on one host with this entity (CRE)
    #[arg(long, value_name = "ENTITY", value_parser = entity)]
    pub(crate) coresident: Option<Entity>,

    /// Send only the blocks of 512 octets in this mask (MDM)
    #[arg(long, value_name = "MASK", value_parser = word)]
    pub(crate) partial: Option<u32>,

    /// Nobody answers (DGM)
    #[arg(long, conflicts_with_all = ["out", "multiple"])]
    pub(crate) datagram: bool,

    /// Only if the server is waiting for a Request (CMD)
    #[arg(long)]
    pub(crate) conditional: bool,

    /// Wait for the Responses of several members of a group (MRD), this many milliseconds
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) multiple: Option<u32>,

    /// Ask that the Request is acknowledged (APG)
    #[arg(long)]
    pub(crate) acknowledge: bool,

    /// What is missing is not sent again (NRT)
    #[arg(long)]
    pub(crate) no_retransmission: bool,

    /// Checksum the header only (HCO)
    #[arg(long)]
    pub(crate) header_checksum: bool,

    /// The 4 bits of priority as on the wire
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=15))]
    pub(crate) priority: Option<u8>,

    #[command(flatten)]
    pub(crate) way: Way,
}

/// Ask an entity's host about it
#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// Whom to ask about
    #[arg(value_parser = entity)]
    pub(crate) entity: Entity,

    /// Give up after this many milliseconds; else when the retransmissions are used up
    #[arg(short = 'W', long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,

    /// How often it is asked again
    #[arg(short, long, value_name = "N")]
    pub(crate) retries: Option<u8>,

    #[command(flatten)]
    pub(crate) way: Way,
}

/// Show what this host's VMTP has and has counted
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// What to show
    #[arg(value_enum)]
    pub(crate) what: Table,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// The entities of this host
    Entities,
    /// The transactions that its clients and servers know of
    Transactions,
    /// The groups and their members here
    Groups,
    /// The hosts of other entities, as far as known
    Hosts,
    /// What was counted
    Stats,
}

/// Watch entities, transactions, hosts and rates, as top watches processes
///
/// Rates are of the last interval. Keys: q ends it, Tab and 1 to 4 choose a table, the arrows and
/// PgUp and PgDn walk in it, < and > choose the column to sort by and r reverses it, the space bar
/// pauses, + and - change the interval, h shows the keys.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// Seconds between two looks, 0.1 to 3600
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) interval: Duration,

    /// Print text, with all rows of all tables, and leave the terminal alone; --json does so too
    #[arg(short, long)]
    pub(crate) batch: bool,

    /// How many times --batch and --json print
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// The column that tables are sorted by, where they have it, such as QUEUED or CALLS/S
    #[arg(short, long, value_name = "COLUMN")]
    pub(crate) sort: Option<String>,

    /// Sort the other way round
    #[arg(short, long)]
    pub(crate) reverse: bool,
}

/// Print the script by which a shell completes the arguments of vmtp
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// Whose script
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// 12 or 20 octets: where 12 or fewer were given, only the UserData field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserData {
    Field([u8; 12]),
    All([u8; 20]),
}

fn entity(text: &str) -> Result<Entity, vmtp::ParseEntityError> {
    vmtp::parse_entity(text)
}

fn group(text: &str) -> Result<Entity, String> {
    let group = vmtp::parse_entity(text).map_err(|error| error.to_string())?;
    if group.is_group() {
        Ok(group)
    } else {
        Err("this is no group: those begin with RG or UG".into())
    }
}

fn size(text: &str) -> Result<usize, String> {
    let size: usize = text
        .parse()
        .map_err(|_| "this is no number of octets".to_string())?;
    if size > MESSAGE_SIZE {
        return Err(format!("a segment has at most {MESSAGE_SIZE} octets"));
    }
    Ok(size)
}

fn word(text: &str) -> Result<u32, String> {
    let word = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    word.map_err(|_| "this is no number of 32 bits in decimal or 0x hexadecimal".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "this is no number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The times that `vmtp top` can wait.
pub(crate) const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    if INTERVALS.contains(&interval) {
        Ok(interval)
    } else {
        Err("an interval is 0.1 to 3600 seconds".into())
    }
}

fn user_data(text: &str) -> Result<UserData, String> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()
        .ok_or("user data is hexadecimal digits only")?;
    if digits.len() % 2 != 0 {
        return Err("two hexadecimal digits are an octet, and one is left over".into());
    }
    let mut all = [0; 20];
    if digits.len() > 2 * all.len() {
        return Err("a Request has at most 20 octets of user data".into());
    }
    for (octet, pair) in all.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = pair
            .iter()
            .fold(0, |value, digit| value << 4 | *digit as u8);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = all;
    if digits.len() > 24 {
        Ok(UserData::All(all))
    } else {
        Ok(UserData::Field([a, b, c, d, e, f, g, h, i, j, k, l]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command)
    }

    #[test]
    fn ping_takes_what_ping_takes() {
        let Ok(Command::Ping(ping)) =
            parse("vmtp ping LE-70000-10.0.0.2 -c 3 -s 64 -i 0.2 -W 500 -q")
        else {
            panic!("not parsed");
        };
        assert_eq!(ping.entity.to_string(), "LE-70000-10.0.0.2");
        assert_eq!(
            (ping.count, ping.size, ping.timeout, ping.quiet),
            (Some(3), 64, Some(500), true)
        );
        assert_eq!(ping.interval, Duration::from_millis(200));
    }

    #[test]
    fn the_entity_of_echo_may_be_left_out() {
        let Ok(Command::Echo(echo)) = parse("vmtp echo") else {
            panic!("not parsed")
        };
        assert_eq!(
            (echo.entity, echo.threads, echo.count),
            (Entity::ZERO, 1, None)
        );
        let Ok(Command::Echo(echo)) = parse("vmtp echo --entity 0x200111700A000002 --json") else {
            panic!("not parsed")
        };
        assert_eq!(echo.entity.to_string(), "LE-70000-10.0.0.2");
    }

    #[test]
    fn call_takes_words_in_both_bases() {
        let Ok(Command::Call(call)) =
            parse("vmtp call 7 --code 0x05000101 --partial 3 -u 0102ff --multiple")
        else {
            panic!("not parsed")
        };
        assert_eq!(
            (call.code, call.partial, call.multiple),
            (0x0500_0101, Some(3), Some(1000))
        );
        assert_eq!(
            call.user_data,
            UserData::Field([1, 2, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        );
    }

    #[test]
    fn a_count_may_begin_with_a_minus_and_a_command_is_behind_two() {
        assert!(parse("vmtp entity service LE-70000-10.0.0.2 -1").is_ok());
        assert!(parse("vmtp move receive -- cat x").is_ok());
        assert!(parse("vmtp move receive --from 10.0.0.2 --from LE-70000-10.0.0.2 -- x").is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "vmtp group add LE-70000-10.0.0.2 LE-70000-10.0.0.2",
            "vmtp group create 7 -p x",
            "vmtp entity service 7 x",
            "vmtp entity signal 7 65",
            "vmtp move receive",
            "vmtp move receive --from x -- cat",
            "vmtp move receive --max 0 -- cat",
            "vmtp entity forwarder",
            "vmtp move send 7",
            "vmtp node 7 --all",
            "vmtp",
            "vmtp ping",
            "vmtp ping LE-1",
            "vmtp ping 7 -c 0",
            "vmtp ping 7 -s 4194305",
            "vmtp ping 7 -i -1",
            "vmtp ping 7 -i nan",
            "vmtp ping 7 -t 256",
            "vmtp call 7",
            "vmtp call 7 --code 0x100000000",
            "vmtp call 7 --code 1 -u 0",
            "vmtp call 7 --code 1 -u zz",
            "vmtp call 7 --code 1 --datagram --out x",
            "vmtp echo --threads 0",
            "vmtp echo --join LE-1-10.0.0.1",
            "vmtp show everything",
            "vmtp top -i 0",
            "vmtp top -n 0",
            "vmtp completion sh",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(user_data(&"ab".repeat(20)), Ok(UserData::All([0xAB; 20])));
        assert!(user_data(&"ab".repeat(21)).is_err());
    }

    /// The options of a command and of what is below it.
    fn options(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let long = own.filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
        long.chain(command.get_subcommands().flat_map(options))
            .collect()
    }

    #[test]
    fn every_option_is_in_the_manual_page() {
        let page = include_str!("../../man/vmtp.1").replace("\\-", "-");
        let (described, options_of) = page.split_once(".SH OPTIONS").expect("options");
        let sections: Vec<&str> = options_of.split(".SS ").collect();
        let missing = |command: &clap::Command| {
            let name = command.get_name();
            let own = sections
                .iter()
                .find(|s| s.starts_with(&format!("{name}\n")));
            let known = format!("{}{} ", sections[0], own.unwrap_or(&"")).replace("\\fR", " ");
            let known: Vec<&str> = known.split([' ', '\n']).collect();
            let mut missing = options(command);
            missing.retain(|option| {
                !known
                    .iter()
                    .any(|word| word.trim_start_matches("\\fB") == option)
            });
            if !described.contains(&format!(".B vmtp {name}")) {
                missing.push("the synopsis".into());
            }
            let name = name.to_string();
            missing
                .into_iter()
                .map(move |what| format!("{name}: {what}"))
        };
        let arguments = Arguments::command();
        let missing: Vec<_> = arguments.get_subcommands().flat_map(missing).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
