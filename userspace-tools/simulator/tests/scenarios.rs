// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Single scenarios, and that the simulator itself can be relied on.

use vmtp_simulator::many::{many, Many};
use vmtp_simulator::scenario::{Class, Scenario};
use vmtp_simulator::World;

fn run(class: Class, seed: u64) -> World {
    let mut world = Scenario::new(class, seed).build();
    if let Err(failure) = world.run() {
        panic!("{} {seed}: {failure}", class.name());
    }
    world
}

/// Shows: 1-a, 4.3-b, 5.3-a
#[test]
fn isolated_transaction_is_two_packets() {
    for seed in 0..20 {
        let world = run(Class::Isolated, seed);
        let counts = &world.env.counts;
        assert_eq!(counts.answered, counts.transactions);
        assert_eq!(counts.packets, 2 * counts.transactions);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for class in [Class::Mixture, Class::Run, Class::Late] {
        let trace = |_| {
            let mut world = Scenario::new(class, 7).build();
            world.env.start_trace(usize::MAX);
            world.run().expect("this seed is a good one");
            (world.env.counts, world.env.take_trace())
        };
        let runs: Vec<_> = (0..2).map(trace).collect();
        assert!(runs[0] == runs[1], "{}", class.name());
        assert!(!runs[0].1.is_empty());
    }
}

/// The judge is awake: a Request that is executed twice is found.
#[test]
fn a_second_execution_is_found() {
    use vmtp_proto::wire::Mask;
    let mut world = run(Class::Isolated, 0);
    let env = &mut world.env;
    let server = env.oracle.cases[0].executions[0].server;
    let place = env.oracle.cases[0].executions[0].incarnation;
    env.oracle
        .executed(0, server, place, &[], Mask::ALL, env.now, &mut env.counts);
    let verdict = env.oracle.verdict.take().expect("a verdict");
    assert!(verdict.contains("executed 2 times"), "{verdict}");
}

/// The judge is awake: a transaction of which nothing more comes is found, also where the simulation
/// is to end with the last answer.
#[test]
fn a_transaction_that_does_not_end_is_found() {
    let mut world = Scenario::new(Class::Isolated, 0).build();
    // This one no Client begins.
    let op = world.env.oracle.cases[0].op.clone();
    let left = world.env.oracle.add(op);
    let failure = world.run_to_answers(|_| ()).expect_err("a failure");
    assert_eq!(
        failure.what,
        format!("operation {left} is Pending, and nothing more happens")
    );
}

/// Each class alone, with more seeds than the run over all of them.
#[test]
fn no_class_breaks_a_promise() {
    for class in Class::ALL {
        for seed in 10_000..10_006 {
            run(*class, seed);
        }
    }
}

/// Hosts that passed Requests on die: the judge finds nothing wrong, and hardly a Client but those who waited then is
/// told that it waited in vain.
#[test]
fn forwarders_die_and_their_clients_go_on() {
    let (mut died, mut answered, mut failed) = (0, 0, 0);
    for seed in 0..40 {
        let counts = run(Class::Chain, seed).env.counts;
        died += counts.fault_forwarders;
        answered += counts.answered;
        failed += counts.failed;
    }
    assert!(died >= 200, "only {died} died");
    assert!(
        failed * 20 < answered,
        "{failed} failed, {answered} did not"
    );
}

/// Events, packets and steps in tables of a transaction stay the same as hosts become more.
#[test]
fn cost_of_a_transaction_does_not_grow_with_hosts() {
    let wanted = Many {
        hosts: 3_000,
        calls: 10,
        loss: 0.05,
        seed: 3,
    };
    many(&wanted).expect("the same cost");
}
