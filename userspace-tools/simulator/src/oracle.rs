// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What every transaction ought to do, and the judgement when one does otherwise.
//!
//! A Request carries the number of its operation in its user data, so that everything about it can
//! be looked up here at either end.

use vmtp_proto::time::{Span, Time};
use vmtp_proto::wire::{Entity, Mask, Mcb, ResponseCode};

use crate::content;
use crate::counts::Counts;

/// The number of an operation.
pub type OpId = usize;

/// What a user wants.
#[derive(Clone, Debug)]
pub struct Op {
    /// The Server or group.
    pub server: Entity,
    /// Octets of the Request's segment, if it has one.
    pub request: Option<u32>,
    /// Octets of the Response's segment, if it has one.
    pub response: Option<u32>,
    /// How it is to be done.
    pub wants: Wants,
    /// How long a server works on it.
    pub service: Span,
    /// Servers that pass it on, each to the next: the last one answers.
    pub forward: Vec<Entity>,
    /// The user's time limit.
    pub limit: Option<Span>,
    /// Responses after which a group Request is complete for the user.
    pub enough: usize,
    /// The Request of another Client on whose behalf it is made (nested call).
    pub parent: Option<Parent>,
}

impl Op {
    /// A call of one packet each way without wishes, for which the server needs no time.
    pub fn to(server: Entity) -> Op {
        Op {
            server,
            request: None,
            response: None,
            wants: Wants::default(),
            service: Span::ZERO,
            forward: Vec::new(),
            limit: None,
            enough: 1,
            parent: None,
        }
    }
}

/// The Request that a nested call is for.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Its Client.
    pub client: Entity,
    /// Its Transaction.
    pub transaction: vmtp_proto::wire::Transaction,
    /// Its operation.
    pub op: OpId,
}

/// Flags of an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    /// DGM in the Request.
    pub datagram: bool,
    /// A member of a run.
    pub streamed: bool,
    /// Another member of the run follows.
    pub more: bool,
    /// NRT in the Request.
    pub no_retransmission: bool,
    /// MDM in the Request with these blocks.
    pub blocks: Option<u32>,
    /// NRT and MDM in the Response.
    pub lossy_response: bool,
    /// HCO both ways.
    pub header_checksum: bool,
    /// CMD in the Request.
    pub conditional: bool,
    /// CMD in the Response.
    pub conditional_response: bool,
    /// MRD.
    pub many: bool,
    /// MDG: the Response goes to the group.
    pub group_response: bool,
    /// DRT.
    pub delay: bool,
    /// APG in the Request.
    pub acknowledge: bool,
    /// APG in the Response.
    pub acknowledge_response: bool,
    /// DGM in the Response.
    pub idempotent: bool,
    /// STI is set.
    pub large: bool,
    /// An idempotent Response differs each time it is made.
    pub varies: bool,
    /// The Response leaves only with a later one of the run, if one waits.
    pub batched: bool,
    /// The server gives the Request up.
    pub abandoned: bool,
    /// Not retransmitted forever by the user: a CMD Request refused is tried again.
    pub insists: bool,
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Not begun.
    Pending,
    /// Under way.
    Open,
    /// A Response came.
    Answered,
    /// A later Response of the run answered it.
    Covered,
    /// It ended with this code instead.
    Failed(ResponseCode),
    /// A datagram, sent.
    Sent,
    /// Its Client is no more.
    Lost,
}

/// That a server was handed a Request.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// Who.
    pub server: Entity,
    /// The restarts of its host, with the host's number.
    pub incarnation: (usize, u32),
    /// How often.
    pub times: u32,
    /// When last.
    pub at: Time,
}

/// An operation and what became of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is wanted.
    pub op: Op,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
    /// Who was handed it.
    pub executions: Vec<Execution>,
    /// How many Responses were delivered, and from whom.
    pub responses: Vec<Entity>,
    /// Who was handed it, and which numbers in the receive sequence of its host it had.
    pub numbers: Vec<(Entity, u32)>,
}

/// What must hold beyond what always holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strictness {
    /// Every transaction is answered: nothing in the scenario may prevent it.
    pub all_answered: bool,
    /// Every transaction takes exactly two packets.
    pub two_packets: bool,
}

/// All operations of a simulation.
#[derive(Debug)]
pub struct Oracle {
    /// By number.
    pub cases: Vec<Case>,
    /// What must hold.
    pub strict: Strictness,
    /// The longest a transaction without a limit may take.
    pub patience: Span,
    /// The first thing that went wrong.
    pub verdict: Option<String>,
}

impl Oracle {
    /// An oracle that knows of nothing yet.
    pub fn new(strict: Strictness, patience: Span) -> Oracle {
        Oracle {
            cases: Vec::new(),
            strict,
            patience,
            verdict: None,
        }
    }

    /// A new operation.
    pub fn add(&mut self, op: Op) -> OpId {
        self.cases.push(Case {
            op,
            outcome: Outcome::Pending,
            began: Time::NEVER,
            ended: Time::NEVER,
            executions: Vec::new(),
            responses: Vec::new(),
            numbers: Vec::new(),
        });
        self.cases.len() - 1
    }

    /// A server's host received a Request as its message `number`.
    pub fn numbered(&mut self, op: OpId, server: Entity, number: u32) {
        self.cases[op].numbers.push((server, number));
    }

    /// A Client has it that its Request was message `number` of the server's host.
    pub fn logged(&mut self, op: OpId, server: Entity, number: u32, counts: &mut Counts) {
        counts.numbered += 1;
        let given = &self.cases[op].numbers;
        // A host that restarts may receive again what it had before, and the news of that be lost.
        if counts.fault_restart == 0 && !given.contains(&(server, number)) {
            let what = format!("operation {op} logged as {number} of {server}: {given:?}");
            self.fail(what);
        }
    }

    /// Whether its Client waits.
    pub fn is_open(&self, op: OpId) -> bool {
        self.cases[op].outcome == Outcome::Open
    }

    /// Something is wrong.
    pub fn fail(&mut self, what: impl Into<String>) {
        if self.verdict.is_none() {
            self.verdict = Some(what.into());
        }
    }

    /// Which operation a Request is.
    pub fn of_request(&self, mcb: &Mcb) -> Option<OpId> {
        let op = u64::from_be_bytes(mcb.user[8..16].try_into().ok()?);
        let check = u32::from_be_bytes(mcb.user[16..20].try_into().ok()?);
        let op_id = usize::try_from(op).ok()?;
        (op_id < self.cases.len() && check == content::mix(op) as u32).then_some(op_id)
    }

    /// A transaction begins.
    pub fn began(&mut self, op: OpId, now: Time, counts: &mut Counts) {
        let case = &mut self.cases[op];
        if case.outcome != Outcome::Pending {
            self.fail(format!("operation {op} begins twice"));
            return;
        }
        counts.transactions += 1;
        case.began = now;
        case.outcome = if case.op.wants.datagram {
            counts.datagrams += 1;
            case.ended = now;
            Outcome::Sent
        } else {
            Outcome::Open
        };
    }

    /// A server is handed a Request. Tells how often it was before.
    #[allow(clippy::too_many_arguments)]
    pub fn executed(
        &mut self,
        op: OpId,
        server: Entity,
        incarnation: (usize, u32),
        data: &[u8],
        blocks: Mask,
        now: Time,
        counts: &mut Counts,
    ) -> u32 {
        counts.executions += 1;
        let case = &mut self.cases[op];
        let octets = case.op.request.unwrap_or(0);
        let wants = case.op.wants;
        let seed = content::of_request(op as u64);
        if case.op.request.is_some() && data.len() != octets as usize {
            let got = data.len();
            self.fail(format!(
                "operation {op}: {got} of {octets} octets of Request"
            ));
            return 0;
        }
        let wrong = match wants.blocks {
            Some(mask) if !Mask::from_bits(mask).contains(blocks) => Some(usize::MAX),
            Some(_) => content::difference_in(seed, data, octets, blocks),
            None => content::difference(seed, data),
        };
        if let Some(at) = wrong {
            self.fail(format!("operation {op}: Request altered at octet {at}"));
            return 0;
        }
        let before = case.executions.iter_mut().find(|e| e.server == server);
        let Some(execution) = before else {
            if wants.datagram {
                counts.datagrams_received += 1;
            }
            case.executions.push(Execution {
                server,
                incarnation,
                times: 1,
                at: now,
            });
            return 0;
        };
        let times = execution.times;
        execution.times += 1;
        let restarted = execution.incarnation != incarnation;
        execution.incarnation = incarnation;
        execution.at = now;
        if wants.idempotent {
            return times;
        }
        // A restart forgets; but never is anything executed again that the Client is done with, as
        // long as the Client's host did not restart as well.
        let done = case.outcome != Outcome::Lost
            && case.ended != Time::NEVER
            && case.ended.plus(Span::from_millis(2_000)) < now;
        // A chain of forwards may come back to a server, which then has a Request anew.
        let visits = 1 + case.op.forward.iter().filter(|s| **s == server).count()
            - usize::from(case.op.server != server && !case.op.server.is_group());
        if times < visits as u32 {
            return times;
        }
        // What one host of a chain forgot, the others do again.
        let forgotten = restarted || (counts.fault_restart != 0 && !case.op.forward.is_empty());
        if !forgotten || done || wants.datagram {
            self.fail(format!(
                "operation {op} executed {} times by {server} (restarted: {restarted}, done: {done})",
                times + 1
            ));
        }
        times
    }

    /// A Response is delivered.
    #[allow(clippy::too_many_arguments)]
    pub fn answered(
        &mut self,
        op: OpId,
        server: Entity,
        mcb: &Mcb,
        incomplete: bool,
        data: &[u8],
        blocks: Option<Mask>,
        now: Time,
        counts: &mut Counts,
    ) {
        let case = &mut self.cases[op];
        let id = u64::from_be_bytes(mcb.user[..8].try_into().unwrap_or_default());
        let from = u64::from_be_bytes(mcb.user[8..16].try_into().unwrap_or_default());
        let turn = u32::from_be_bytes(mcb.user[16..20].try_into().unwrap_or_default());
        if id != op as u64 || from != server.bits() {
            self.fail(format!(
                "operation {op} got the Response of operation {id} by {}",
                Entity::from_bits(from)
            ));
            return;
        }
        if case.responses.contains(&server) || (!case.op.wants.many && !case.responses.is_empty()) {
            self.fail(format!("operation {op}: a second Response by {server}"));
            return;
        }
        if !case.executions.iter().any(|e| e.server == server) {
            self.fail(format!(
                "operation {op} answered by {server}, who never had it"
            ));
            return;
        }
        let octets = case.op.response.unwrap_or(0);
        let seed = content::of_response(op as u64, server, turn);
        let wrong = match blocks {
            Some(mask) => content::difference_in(seed, data, octets, mask),
            None => content::difference(seed, data),
        };
        if let Some(at) = wrong {
            self.fail(format!("operation {op}: Response altered at octet {at}"));
            return;
        }
        if !incomplete && case.op.response.is_some() && data.len() != octets as usize {
            let got = data.len();
            self.fail(format!(
                "operation {op}: {got} of {octets} octets of Response"
            ));
            return;
        }
        case.responses.push(server);
        if incomplete {
            self.ended(
                op,
                Outcome::Failed(ResponseCode::BadReplySegment),
                now,
                counts,
            );
        } else {
            self.ended(op, Outcome::Answered, now, counts);
        }
    }

    /// A transaction ends.
    pub fn ended(&mut self, op: OpId, outcome: Outcome, now: Time, counts: &mut Counts) {
        let case = &mut self.cases[op];
        let delivered = matches!(
            case.outcome,
            Outcome::Answered | Outcome::Failed(ResponseCode::BadReplySegment)
        );
        if case.op.wants.many && delivered {
            // A further Response, whole or in part.
            return;
        }
        if case.outcome != Outcome::Open {
            let before = case.outcome;
            self.fail(format!(
                "operation {op} ended as {before:?} ends as {outcome:?}"
            ));
            return;
        }
        match outcome {
            Outcome::Answered => counts.answered += 1,
            Outcome::Covered => {
                counts.answered += 1;
                counts.covered += 1;
            }
            Outcome::Failed(_) => counts.failed += 1,
            Outcome::Lost => counts.lost += 1,
            Outcome::Pending | Outcome::Open | Outcome::Sent => {}
        }
        case.outcome = outcome;
        case.ended = now;
        let took = now.since(case.began);
        let patience = self.patience;
        if let Some(limit) = case.op.limit {
            if took > limit.plus(Span::from_millis(10)) {
                self.fail(format!(
                    "operation {op} took {took:?}, its limit is {limit:?}"
                ));
                return;
            }
        } else if took > patience {
            self.fail(format!("operation {op} took {took:?}"));
            return;
        }
        if let Outcome::Failed(code) = outcome {
            if self.strict.all_answered {
                self.fail(format!("operation {op} failed: {}", code.name()));
            }
        }
        if outcome == Outcome::Covered && self.cases[op].executions.is_empty() {
            self.fail(format!("operation {op} covered, but never executed"));
        }
    }

    /// How many transactions ended with each code.
    pub fn codes(&self) -> impl Iterator<Item = ResponseCode> + '_ {
        self.cases.iter().filter_map(|case| match case.outcome {
            Outcome::Failed(code) => Some(code),
            Outcome::Pending
            | Outcome::Open
            | Outcome::Answered
            | Outcome::Covered
            | Outcome::Sent
            | Outcome::Lost => None,
        })
    }

    /// Nothing will happen any more.
    pub fn at_rest(&mut self, counts: &Counts) {
        self.nothing_waits(self.strict.all_answered);
        if self.strict.two_packets && counts.packets != 2 * counts.transactions {
            self.fail(format!(
                "{} packets for {} isolated transactions",
                counts.packets, counts.transactions
            ));
        }
    }

    /// Nothing will happen any more: no transaction is open, nor (`all`) is one still to begin.
    pub fn nothing_waits(&mut self, all: bool) {
        let stuck = self.cases.iter().position(|case| {
            case.outcome == Outcome::Open || (all && case.outcome == Outcome::Pending)
        });
        if let Some(op) = stuck {
            let outcome = self.cases[op].outcome;
            self.fail(format!(
                "operation {op} is {outcome:?}, and nothing more happens"
            ));
        }
    }
}
