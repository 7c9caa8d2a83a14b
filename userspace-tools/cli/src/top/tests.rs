// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is on the screen, letter by letter, for two looks at a host that are two seconds apart; and
//! what keys change.

use std::path::Path;

use ratatui::backend::TestBackend;
use ratatui::Terminal;
use tempfile::TempDir;

use super::*;

const ENTITIES: &str = "\
ENTITY PID UID EUID QUEUED TRANSACTION OPEN
LE-70001-10.0.0.1 413 1000 1000 3 500 1
LE-70000-10.0.0.1 412 0 0 0 4294967290 1
LE-1-10.0.0.1 0 0 0 0 0 1
";

const TRANSACTIONS: &str = "\
CLIENT SERVER TRANSACTION FORWARDS STATE PROBED PEER WAITING EXPIRES_MS
LE-9-10.0.0.2 LE-70001-10.0.0.1 7 0 Processing 1 10.0.0.2 0 -
LE-8-10.0.0.2 LE-70001-10.0.0.1 70 0 Responded 1 10.0.0.2 2 59000
";

const HOSTS: &str = "\
HOST MTU RTT_NS DEVIATION_NS GAP_NS GAP IDLE_MS
10.0.0.2 1500 125000 41000 0 0 1250
10.0.0.10 9000 2500000 0 0 0 125000
";

/// A host with these counters, at its second look with more of them.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine {
            root: TempDir::new().expect("a folder"),
        };
        machine.write("net/vmtp/entities", ENTITIES);
        machine.write("net/vmtp/transactions", TRANSACTIONS);
        machine.write("net/vmtp/hosts", HOSTS);
        machine.write(
            "net/vmtp/snmp",
            "VmtpInPackets\t1000\nVmtpInOctets\t100000\nVmtpRetransmissions\t5\n\
             VmtpDropNoEntity\t7\nVmtpDropDuplicate\t1\nVmtpDropOld\t9\n",
        );
        machine.write("412/comm", "vmtp\n");
        machine.write("413/comm", "evil\x1b]0;x\x07\n");
        machine
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn later(&self) {
        self.write("net/vmtp/entities", &ENTITIES.replace("4294967290", "4"));
        self.write(
            "net/vmtp/snmp",
            "VmtpInPackets\t3469\nVmtpInOctets\t24791356\nVmtpRetransmissions\t6\n\
             VmtpDropNoEntity\t8\nVmtpDropDuplicate\t5\nVmtpDropOld\t9\n",
        );
    }
}

fn look(root: &Path, begin: Instant, seconds: u64) -> Sample {
    let mut sample = Sample::take(root).expect("a sample");
    sample.time = begin + Duration::from_secs(seconds);
    sample
}

fn top() -> Top {
    let machine = Machine::new();
    let begin = Instant::now();
    let before = look(machine.root.path(), begin, 0);
    machine.later();
    let sample = look(machine.root.path(), begin, 2);
    Top {
        proc_root: PathBuf::new(),
        screen: Screen::new(Duration::from_secs(2)),
        view: View::new(Some(&before), &sample),
        sample,
        page: 14,
    }
}

/// The lines of the screen without the blanks at their ends.
fn shown(top: &mut Top, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let drawn = terminal.draw(|frame| top.screen.draw(frame, &top.view));
    let buffer = drawn.expect("it is drawn").buffer.clone();
    let rows = buffer.content().chunks(usize::from(width).max(1));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>())
        .map(|line| line.trim_end().to_string())
        .collect()
}

fn press(top: &mut Top, keys: &str) -> Asked {
    let mut asked = Asked::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\t' => KeyCode::Tab,
            '$' => KeyCode::End,
            '^' => KeyCode::Home,
            key => KeyCode::Char(key),
        };
        asked = top.key(KeyEvent::from(code));
    }
    asked
}

const HEAD: [&str; 7] = [
    "vmtp top  every 2 s                          3 entities  2 remote clients  2 hosts",
    "per second           packets      octets    notifies      probes",
    "in                      1234       12.3M           -           -",
    "out                        -           -           -           -",
    "transactions    - started, - answered, - failed, - served",
    "sent again      0.5 retransmissions, - timeouts, - not sent",
    "dropped         2.0 Duplicate, 0.5 NoEntity",
];

const FOOT: &str = "q end  Tab table  < > sort  r reverse  Space pause  h help";

#[test]
fn rates_are_above_and_entities_with_their_processes_below() {
    let lines = shown(&mut top(), 82, 24);
    assert_eq!(lines[..7], HEAD);
    assert_eq!(
        lines[7..12],
        [
            " 1 Entities (3)  2 Transactions (2)  3 Hosts (2)  4 Counters (6)",
            "ENTITY             PID   UID  QUEUED  CLIENTS  CALLS/S  COMMAND",
            "LE-1-10.0.0.1        -     0       0        0        0  -",
            // The identifiers of its transactions went round.
            "LE-70000-10.0.0.1  412     0       0        0      5.0  vmtp",
            // Whatever the process calls itself, the terminal gets nothing to obey.
            "LE-70001-10.0.0.1  413  1000       3        2        0  evil?]0;x?",
        ]
    );
    assert!(lines[12..23].iter().all(String::is_empty), "{lines:?}");
    assert_eq!(lines[23], FOOT);
}

#[test]
fn it_fits_in_80_columns_and_in_less() {
    let mut top = top();
    let lines = shown(&mut top, 80, 24);
    assert_eq!(
        lines[0],
        "vmtp top  every 2 s                        3 entities  2 remote clients  2 hosts"
    );
    // One row of a table is left; the title's counts and the columns at the right are cut.
    let lines = shown(&mut top, 30, 11);
    assert_eq!(lines[0], "vmtp top  every 2 s  3 entitie");
    assert_eq!(lines[9], "LE-1-10.0.0.1        -     0");
    for size in [(1, 1), (0, 0), (200, 2), (2, 60)] {
        shown(&mut top, size.0, size.1);
    }
}

#[test]
fn each_table_has_its_key() {
    let mut top = top();
    press(&mut top, "2");
    assert_eq!(
        shown(&mut top, 100, 24)[8..11],
        [
            "CLIENT         SERVER             STATE       TRANSACTION  EXPIRES  WAITING  PEER",
            "LE-8-10.0.0.2  LE-70001-10.0.0.1  Responded            70    59.0s        2  10.0.0.2",
            "LE-9-10.0.0.2  LE-70001-10.0.0.1  Processing            7        -        0  10.0.0.2",
        ]
    );
    press(&mut top, "\t");
    assert_eq!(
        shown(&mut top, 80, 24)[8..11],
        [
            "HOST       CLIENTS   MTU      RTT  DEVIATION      GAP  IDLE",
            "10.0.0.10        0  9000  2.500ms    0.000ms  0.000ms  125s",
            "10.0.0.2         2  1500  0.125ms    0.041ms  0.000ms  1.2s",
        ]
    );
    press(&mut top, "\t");
    assert_eq!(
        shown(&mut top, 80, 24)[8..11],
        [
            "COUNTER             TOTAL  PER-SECOND",
            "InPackets            3469        1234",
            "InOctets         24791356       12.3M",
        ]
    );
    press(&mut top, "\t");
    assert!(shown(&mut top, 80, 24)[8].starts_with("ENTITY"));
}

/// The first column of the table that is shown.
fn names(top: &mut Top) -> Vec<String> {
    let lines = shown(top, 80, 24);
    let rows = lines[9..23].iter().filter(|line| !line.is_empty());
    rows.map(|line| line.split(' ').next().unwrap_or_default().to_string())
        .collect()
}

#[test]
fn tables_are_sorted_by_any_column_both_ways() {
    let mut top = top();
    let [first, second, third] = ["LE-1-10.0.0.1", "LE-70000-10.0.0.1", "LE-70001-10.0.0.1"];
    assert_eq!(names(&mut top), [first, second, third]);
    press(&mut top, "r");
    assert_eq!(names(&mut top), [third, second, first]);
    // QUEUED: the greatest first, which the reversal puts last.
    press(&mut top, ">>>");
    assert_eq!(names(&mut top)[2], third);
    press(&mut top, "r");
    assert_eq!(names(&mut top)[0], third);
    // CALLS/S
    press(&mut top, ">>");
    assert_eq!(names(&mut top)[0], second);
    // The first and the last column are where it ends.
    press(&mut top, "<<<<<<<<<<");
    assert_eq!(names(&mut top)[0], first);
    press(&mut top, ">>>>>>>>>>");
    assert_eq!(names(&mut top)[0], third);
    // Each table has its own: of the counters by rate, octets come first.
    press(&mut top, "4>>>");
    assert_eq!(names(&mut top)[0], "InOctets");
}

#[test]
fn a_column_to_sort_by_is_named_on_the_command_line() {
    let mut top = top();
    sort(&mut top.screen, Some("calls/s"), false).expect("a column");
    assert_eq!(names(&mut top)[0], "LE-70000-10.0.0.1");
    let error = sort(&mut top.screen, Some("SIZE"), false).expect_err("no column");
    assert!(
        error.to_string().contains("CALLS/S, CLIENT, CLIENTS"),
        "{error}"
    );
}

#[test]
fn long_tables_are_walked_in() {
    let mut top = top();
    press(&mut top, "4");
    // Three rows of six fit.
    assert_eq!(
        shown(&mut top, 80, 13)[9..],
        [
            "InPackets            3469        1234".to_string(),
            "InOctets         24791356       12.3M".into(),
            "Retransmissions         6         0.5".into(),
            format!("{FOOT}  1-3 of 6"),
        ]
    );
    press(&mut top, "$");
    let lines = shown(&mut top, 80, 13);
    assert!(lines[11].starts_with("DropOld"), "{lines:?}");
    assert!(lines[12].ends_with("4-6 of 6"), "{lines:?}");
    press(&mut top, "k");
    assert!(shown(&mut top, 80, 13)[12].ends_with("3-5 of 6"));
    press(&mut top, "^");
    assert!(shown(&mut top, 80, 13)[12].ends_with("1-3 of 6"));
}

#[test]
fn keys_pause_change_the_interval_help_and_end() {
    let mut top = top();
    press(&mut top, " ");
    assert!(shown(&mut top, 80, 24)[0].starts_with("vmtp top  paused "));
    press(&mut top, " +");
    assert!(shown(&mut top, 80, 24)[0].starts_with("vmtp top  every 4 s "));
    press(&mut top, "----------");
    assert!(shown(&mut top, 80, 24)[0].starts_with("vmtp top  every 0.1 s "));
    press(&mut top, "h");
    let lines = shown(&mut top, 80, 24);
    assert_eq!(lines[8], "q Esc Ctrl-C                end");
    assert!(lines[16..23].iter().all(String::is_empty), "{lines:?}");
    // Any key ends the help, and does nothing else.
    assert_eq!(press(&mut top, "r"), Asked::Nothing);
    assert_eq!(names(&mut top)[0], "LE-1-10.0.0.1");
    assert_eq!(press(&mut top, "q"), Asked::End);
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(top.key(control('c')), Asked::End);
    assert_eq!(top.key(control('z')), Asked::Suspend);
    assert_eq!(top.key(KeyEvent::from(KeyCode::Esc)), Asked::End);
}

#[test]
fn before_the_second_look_no_rate_is_told() {
    let machine = Machine::new();
    let mut top = top();
    top.sample = look(machine.root.path(), Instant::now(), 0);
    top.view = View::new(None, &top.sample);
    let lines = shown(&mut top, 80, 24);
    assert_eq!(
        lines[2],
        "in                         -           -           -           -"
    );
    assert_eq!(lines[6], "dropped         -");
}

#[test]
fn counters_that_begin_again_have_no_rate() {
    let machine = Machine::new();
    let begin = Instant::now();
    let before = look(machine.root.path(), begin, 0);
    machine.write("net/vmtp/snmp", "VmtpInPackets\t3\n");
    let view = View::new(Some(&before), &look(machine.root.path(), begin, 2));
    assert_eq!(view.rate("InPackets"), None);
}

#[test]
fn text_has_all_rows_of_all_tables() {
    let top = top();
    let text = top.screen.text(&top.view);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text}"
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "vmtp top  3 entities  2 remote clients  2 hosts");
    assert_eq!(lines[1..7], HEAD[1..7]);
    let titles: Vec<_> = lines.iter().filter(|line| line.ends_with(')')).collect();
    assert_eq!(
        titles,
        [
            &"Entities (3)",
            &"Transactions (2)",
            &"Hosts (2)",
            &"Counters (6)"
        ]
    );
    assert_eq!(lines.last(), Some(&"DropOld                 9           0"));
}

#[test]
fn json_has_plain_numbers() {
    let top = top();
    let value = top.view.json(|pane| top.screen.sorting(pane));
    assert_eq!(value["interval_ns"], 2_000_000_000_u64);
    assert_eq!(value["counters"]["InPackets"]["per_second"], 1234.5);
    assert_eq!(value["entities"][1]["calls_per_second"], 5.0);
    assert_eq!(value["entities"][0]["pid"], serde_json::Value::Null);
    assert_eq!(value["transactions"][0]["expires_ns"], 59_000_000_000_u64);
    assert_eq!(value["hosts"][1]["rtt_ns"], 125_000);
}
