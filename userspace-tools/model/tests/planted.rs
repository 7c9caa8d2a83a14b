// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The check is awake: a host that forgets its Client as soon as it has answered executes a
//! duplicated Request again, and the check finds the way there.

#![cfg(feature = "planted-double-execution")]

use stateright::{Checker, HasDiscoveries, Model};
use vmtp_model::{Action, Setup, Wanted};

#[test]
fn a_planted_double_execution_is_found() {
    let plain = Wanted {
        request: 0,
        response: 0,
    };
    let setup = Setup {
        calls: [plain; 2],
        run: false,
        retries: 1,
        room: 3,
        duplicates: 1,
        patience: 1,
        restarts: 0,
    };
    let checker = setup
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discovery("a Request is executed once at most");
    let path = found.expect("a counter-example");
    assert_eq!(path.last_state().executed.iter().max(), Some(&2));
    let steps = path.into_actions();
    println!("{steps:#?}");
    // It ends with a Request that arrives once more.
    assert!(
        matches!(steps.last(), Some(Action::Deliver(_))),
        "{steps:?}"
    );
}
