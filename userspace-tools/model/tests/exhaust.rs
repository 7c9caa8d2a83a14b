// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Every state that can be reached is visited, and the protocol holds in each. Each setup bounds
//! something else, since no machine holds the states of all of them together.

#![cfg(not(feature = "planted-double-execution"))]

use std::io::Write;
use std::time::Duration;

use stateright::{Checker, Model};
use vmtp_model::{Setup, Wanted};

/// One packet each way.
const PLAIN: Wanted = Wanted {
    request: 0,
    response: 0,
};

fn say(line: &str) {
    // Past the capture of the test program: the size is what the check is worth.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn exhaust(name: &str, setup: Setup) {
    let checker = setup.checker().threads(2).spawn_bfs();
    let mut told = 0;
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(20));
        if checker.unique_state_count() >= told + 100_000 {
            told = checker.unique_state_count();
            say(&format!("    {name}: {told} states so far"));
        }
    }
    let checker = checker.join();
    checker.assert_properties();
    say(&format!(
        "{name}: all {} states, {} steps, the longest way to one {} steps",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    ));
}

/// Shows: D-20-e
#[test]
fn single_packets_sent_again_and_duplicated() {
    exhaust(
        "single packets",
        Setup {
            calls: [PLAIN; 2],
            run: false,
            retries: 1,
            room: 3,
            duplicates: 1,
            patience: 1,
            restarts: 0,
        },
    );
}

/// Blocks of a Request are lost, duplicated, and come in any order.
#[test]
fn a_request_of_two_packets() {
    let long = Wanted {
        request: 520,
        response: 0,
    };
    exhaust(
        "a Request of two packets",
        Setup {
            calls: [long; 2],
            run: false,
            retries: 0,
            room: 6,
            duplicates: 1,
            patience: 1,
            restarts: 0,
        },
    );
}

/// Missing blocks of a Response are asked for and sent again.
#[test]
fn a_response_of_two_packets() {
    let long = Wanted {
        request: 0,
        response: 520,
    };
    exhaust(
        "a Response of two packets",
        Setup {
            calls: [long; 2],
            run: false,
            retries: 1,
            room: 2,
            duplicates: 0,
            patience: 1,
            restarts: 0,
        },
    );
}

/// The second Request overtakes the first, and Responses are kept for the run.
#[test]
fn a_run_of_two() {
    exhaust(
        "a run of two",
        Setup {
            calls: [PLAIN; 2],
            run: true,
            retries: 1,
            room: 4,
            duplicates: 0,
            patience: 1,
            restarts: 0,
        },
    );
}

/// What the server's host has forgotten it asks the Client for before it executes anything.
#[test]
fn the_server_restarts() {
    exhaust(
        "a server that restarts",
        Setup {
            calls: [PLAIN; 2],
            run: false,
            retries: 0,
            room: 6,
            duplicates: 1,
            patience: 2,
            restarts: 1,
        },
    );
}
