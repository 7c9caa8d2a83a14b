// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Decentralised allocation (RFC 1045, IV.4): what is asked, how often, and when a block is taken.

mod common;

use common::{at, ms, t};
use vmtp_proto::block::{
    block_of, Block, Claim, ClaimStep, BLOCKS_TRIED, BLOCK_PROBES, OBJECTION_TIME,
};
use vmtp_proto::manager::response;
use vmtp_proto::time::Time;
use vmtp_proto::wire::{
    Entity, Header, Mcb, Parameters, ProbeEntityBlock, ProbeEntityBlockResults, ResponseCode,
    Results, Transaction,
};

/// The domain of IV.2.
const DOMAIN: u16 = 3;
const CLIENT: Entity = Entity::DEFAULT_LECLIENT;
const OTHER: Entity = Entity::from_bits(0x2AAA_0000_0000_0100);

fn claim() -> Claim {
    Claim::new(true, Transaction::from_bits(0), 0x0123_4567_89AB_CDEF)
}

fn sent(step: ClaimStep) -> Header {
    match step {
        ClaimStep::Send(header) => header,
        other => panic!("{other:?}"),
    }
}

/// What a host answers that has the block `entity`.
fn objection(probe: &Header, entity: Entity) -> Header {
    response(probe, OTHER, ProbeEntityBlockResults { entity }.encode())
}

fn undisturbed(mut claim: Claim) -> Block {
    let mut now = at(0);
    for _ in 0..16 {
        if let ClaimStep::Taken(block) = claim.step(CLIENT, DOMAIN, now, 7) {
            return block;
        }
        now = now.plus(OBJECTION_TIME);
    }
    panic!("never taken");
}

/// Shows: IV.4-a, IV.4-b, IV.4-c
#[test]
fn block_is_probed_r_times_and_taken_when_nobody_objects() {
    let mut claim = claim();
    let mut now = at(0);
    for count in 0..BLOCK_PROBES {
        assert!(claim.deadline().has_come(now));
        let header = sent(claim.step(CLIENT, DOMAIN, now, 7));
        // The default client of little-endian hosts, Transaction 0, to all managers of the domain.
        assert_eq!(header.client.bits(), 0x2000_0001_E000_0100);
        assert_eq!(header.server.bits(), 0x4000_0001_E000_0100);
        assert_eq!((header.transaction.bits(), header.domain), (0, 3));
        assert_eq!(header.code.bits(), 0x0500_0103);
        assert_eq!(header.control.retransmit_count(), count);
        // The low-order 8 bits are zero (note 1), the flags those of a little-endian entity.
        let block = [0x21, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0];
        assert_eq!(header.user[..8], block);
        // An objection has its time.
        assert_eq!(claim.step(CLIENT, DOMAIN, now, 7), ClaimStep::Wait);
        let early = Time::from_nanos(claim.deadline().nanos() - 1);
        assert_eq!(claim.step(CLIENT, DOMAIN, early, 7), ClaimStep::Wait);
        now = claim.deadline();
        assert_eq!(
            now.since(early),
            Time::from_nanos(1).since(Time::from_nanos(0))
        );
    }
    let ClaimStep::Taken(mut block) = claim.step(CLIENT, DOMAIN, now, 7) else {
        panic!("nobody objected");
    };
    for number in 0..256 {
        assert_eq!(block.left(), 256 - number);
        let entity = block.take().unwrap();
        assert_eq!(entity.bits(), 0x2123_4567_89AB_CD00 + u64::from(number));
        assert!(block.contains(entity));
    }
    assert_eq!((block.take(), block.left()), (None, 0));
    assert!(!block.contains(Entity::from_bits(0x2123_4567_89AB_CE00)));
}

/// Shows: IV.4-a
#[test]
fn conflict_leads_to_another_block_which_is_probed_from_the_start() {
    for heard in 1..=BLOCK_PROBES {
        let mut claim = claim();
        let mut now = at(0);
        let mut last = sent(claim.step(CLIENT, DOMAIN, now, 7));
        for _ in 1..heard {
            now = claim.deadline();
            last = sent(claim.step(CLIENT, DOMAIN, now, 7));
        }
        let first = ProbeEntityBlock::decode(&last.mcb()).unwrap().entity;
        assert!(claim.objection(&objection(&last, first)));
        // At once, and R times again.
        for count in 0..BLOCK_PROBES {
            let header = sent(claim.step(CLIENT, DOMAIN, now, 0x0FED_CBA9_8765_4321));
            let block = [0x2F, 0xED, 0xCB, 0xA9, 0x87, 0x65, 0x43, 0];
            assert_eq!(
                (&header.user[..8], header.control.retransmit_count()),
                (&block[..], count)
            );
            now = claim.deadline();
        }
        let ClaimStep::Taken(block) = claim.step(CLIENT, DOMAIN, now, 7) else {
            panic!("nobody objected to the second");
        };
        assert!(!block.contains(first));
    }
}

/// Shows: III-0103-b
#[test]
fn answer_that_names_another_block_is_ignored_and_the_question_asked_again() {
    let mut claim = claim();
    let header = sent(claim.step(CLIENT, DOMAIN, at(0), 7));
    let asked = ProbeEntityBlock::decode(&header.mcb()).unwrap().entity;
    let other = Entity::from_bits(asked.bits() + 256);
    assert!(!claim.objection(&objection(&header, other)));
    // Nor does one say anything that is of another Transaction or no answer to this question.
    let late = Header {
        transaction: t(1),
        ..objection(&header, asked)
    };
    assert!(!claim.objection(&late));
    let refusal = response(
        &header,
        OTHER,
        Mcb::refusal(ResponseCode::NonexistentEntity),
    );
    assert!(!claim.objection(&refusal));
    let again = sent(claim.step(CLIENT, DOMAIN, claim.deadline(), 7));
    assert_eq!(
        ProbeEntityBlock::decode(&again.mcb()).unwrap().entity,
        asked
    );
}

/// Whoever objects to everything makes a claim fail, not last.
#[test]
fn claim_ends_after_as_many_blocks_as_are_tried() {
    let mut claim = claim();
    let mut packets = 0;
    for random in 1.. {
        match claim.step(CLIENT, DOMAIN, at(0), random << 8) {
            ClaimStep::Send(header) => {
                packets += 1;
                let asked = ProbeEntityBlock::decode(&header.mcb()).unwrap().entity;
                assert!(claim.objection(&objection(&header, asked)));
            }
            ClaimStep::Failed => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(packets, BLOCKS_TRIED);
}

/// IV.4: what is being claimed is reserved already.
#[test]
fn block_that_is_claimed_is_reserved_for_whoever_asks_about_it() {
    let mut claim = claim();
    let header = sent(claim.step(CLIENT, DOMAIN, at(0), 7));
    let asked = ProbeEntityBlock::decode(&header.mcb()).unwrap().entity;
    assert!(claim.contains(asked) && claim.contains(Entity::from_bits(asked.bits() | 0xFF)));
    assert!(!claim.contains(Entity::from_bits(asked.bits() ^ 0x100)));
}

/// IV.1: the default clients stay what they are, and the zero identifier is none.
#[test]
fn block_of_the_default_client_is_never_chosen() {
    for little_endian in [true, false] {
        let default = if little_endian {
            Entity::DEFAULT_LECLIENT
        } else {
            Entity::DEFAULT_BECLIENT
        };
        for random in [
            0,
            0xFF,
            default.bits(),
            default.bits() | 0x7F,
            0xF000_0000_0000_0000,
        ] {
            let mut block = undisturbed(Claim::new(little_endian, t(0), random));
            assert_ne!(block_of(default), block_of(block.take().unwrap()));
            while let Some(entity) = block.take() {
                assert!(entity.is_client() && !entity.is_alias(), "{entity}");
                assert_eq!(entity.is_little_endian(), little_endian);
                assert_ne!(entity.bits() & 0x0FFF_FFFF_FFFF_FF00, 0);
            }
        }
    }
    assert_eq!(ms(100), OBJECTION_TIME);
}
