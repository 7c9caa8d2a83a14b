// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The management procedures: codes, and where each parameter and result stands in the 28 octets
//! from octet 36 of the packet on. Expected octets are written out from appendix III.

mod wire_reference;

use proptest::prelude::*;
use vmtp_proto::wire::*;
use wire_reference::hex;

const A: Entity = Entity::from_bits(0xA1A2_A3A4_A5A6_A7A8);
const B: Entity = Entity::from_bits(0xB1B2_B3B4_B5B6_B7B8);
const C: Entity = Entity::from_bits(0xC1C2_C3C4_C5C6_C7C8);

const A_HEX: &str = "A1A2A3A4A5A6A7A8";
const B_HEX: &str = "B1B2B3B4B5B6B7B8";
const C_HEX: &str = "C1C2C3C4C5C6C7C8";

/// One of every Request, with its Code and its 28 octets.
fn requests() -> Vec<(ManagementRequest, u32, String)> {
    let notify = NotifyVmtpClient {
        client: A,
        control: Control::from_bits(0x4031_0081),
        receive_sequence: 0xD1D2_D3D4,
        transaction: Transaction::from_bits(0xE1E2_E3E4),
        delivery: Mask::from_bits(0xF1F2_F3F4),
        code: Code::from(ResponseCode::Retry),
    };
    let notify_hex = format!("{A_HEX} 40310081 D1D2D3D4 E1E2E3E4 F1F2F3F4 00000001");
    vec![
        (
            ManagementRequest::ProbeEntity(ProbeEntity {
                coresident: A,
                entity: B,
                auth_domain: 0xD1D2_D3D4,
            }),
            0x0500_0101,
            format!("{A_HEX} {B_HEX} D1D2D3D4 00000000 00000000"),
        ),
        (
            ManagementRequest::AuthProbeEntity(AuthProbeEntity {
                coresident: A,
                entity: B,
                auth_domain: 1,
                random_id: 0xE1E2_E3E4,
            }),
            0x0500_0102,
            format!("{A_HEX} {B_HEX} 00000001 E1E2E3E4 00000000"),
        ),
        (
            ManagementRequest::ProbeEntityBlock(ProbeEntityBlock { entity: A }),
            0x0500_0103,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::QueryVmtpNode(QueryVmtpNode { entity: A }),
            0x0500_0104,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::GetRequestForwarder(GetRequestForwarder {
                coresident: A,
                entity: B,
            }),
            0x0500_0105,
            format!("{A_HEX} {B_HEX} 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::CreateEntity(CreateEntity { entity: A }),
            0x0500_0106,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::DeleteEntity(DeleteEntity { entity: A }),
            0x0500_0107,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::QueryEntity(QueryEntity {
                entity: A,
                reserved: [0; 16],
                segment_size: 512,
            }),
            0x0500_0108,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000200"),
        ),
        (
            ManagementRequest::SignalEntity(SignalEntity {
                entity: A,
                signal: 0xD1D2_D3D4,
            }),
            0x0500_0109,
            format!("{A_HEX} D1D2D3D4 0000000000000000 0000000000000000"),
        ),
        (
            ManagementRequest::CreateGroup(CreateGroup {
                coresident: A,
                group: B,
                entity: C,
                permissions: GroupPermissions::ALL,
            }),
            0x0500_010A,
            format!("{A_HEX} {B_HEX} {C_HEX} 000000FF"),
        ),
        (
            ManagementRequest::AddToGroup(AddToGroup {
                coresident: A,
                group: B,
                entity: C,
                permissions: GroupPermissions::REM_BY_SELF.union(GroupPermissions::ADD_OTHE),
            }),
            0x0500_010B,
            format!("{A_HEX} {B_HEX} {C_HEX} 00000022"),
        ),
        (
            ManagementRequest::RemoveFromGroup(RemoveFromGroup {
                coresident: A,
                group: B,
                entity: C,
            }),
            0x0500_010C,
            format!("{A_HEX} {B_HEX} {C_HEX} 00000000"),
        ),
        (
            ManagementRequest::QueryGroup(QueryGroup { entity: A }),
            0x0500_010D,
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ManagementRequest::ModifyService(ModifyService {
                entity: A,
                flags: ServiceFlags::AUTHENTICATION_REQUIRED.union(ServiceFlags::INCREMENTAL),
                count: 0xFFFF_FFFF,
                program_counter: 0xD1D2_D3D4,
            }),
            0x0500_010E,
            format!("{A_HEX} 0000000A FFFFFFFF D1D2D3D4 00000000 00000000"),
        ),
        (
            ManagementRequest::NotifyVmtpClient(notify),
            0x4500_010F,
            notify_hex.clone(),
        ),
        (
            ManagementRequest::NotifyVmtpServer(NotifyVmtpServer {
                server: A,
                client: B,
                transaction: Transaction::from_bits(0xE1E2_E3E4),
                delivery: Mask::from_bits(0xF1F2_F3F4),
                code: Code::from(ResponseCode::ResponseDiscarded),
            }),
            0x4500_0110,
            format!("{A_HEX} {B_HEX} E1E2E3E4 F1F2F3F4 0000000F"),
        ),
        (
            ManagementRequest::NotifyRemoteVmtpClient(notify.into()),
            0x4100_0111,
            notify_hex,
        ),
    ]
}

/// The 28 octets as a header carries them: from octet 36 to the end.
fn in_header(mcb: Mcb) -> [u8; 28] {
    let mut octets = [0; 64];
    Header::default().with_mcb(mcb).emit(&mut octets);
    octets[36..].try_into().unwrap()
}

/// Shows: II-a
#[test]
fn parameters_and_results_fill_the_words_after_the_code_in_order() {
    assert_eq!(requests().len(), Procedure::ALL.len());
    for ((request, code, octets), procedure) in requests().into_iter().zip(Procedure::ALL) {
        let mcb = request.encode();
        assert_eq!(request.procedure(), *procedure);
        assert_eq!(mcb.code.bits(), code, "{}", procedure.name());
        assert_eq!(in_header(mcb), hex::<28>(&octets), "{}", procedure.name());
        assert_eq!(ManagementRequest::decode(&mcb), Ok(request));
        // Read from octets that this code did not write.
        let read = Mcb::from_parameters(Code::from_bits(code), &hex(&octets));
        assert_eq!(ManagementRequest::decode(&read), Ok(request));
    }

    let results: [(Mcb, String); 8] = [
        (
            ProbeEntityResults {
                transaction: Transaction::from_bits(0xE1E2_E3E4),
                process: A.bits(),
                principal: B.bits(),
                effective_principal: C.bits(),
            }
            .encode(),
            format!("E1E2E3E4 {A_HEX} {B_HEX} {C_HEX}"),
        ),
        (
            AuthProbeEntityResults {
                probe_authenticator: [0x5A; 20],
                encrypt_type: 0xE1E2_E3E4,
            }
            .encode(),
            format!("{} E1E2E3E4 00000000", "5A".repeat(20)),
        ),
        (
            ProbeEntityBlockResults { entity: A }.encode(),
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            QueryVmtpNodeResults {
                mtu: 1_500,
                flags: NodeFlags::ALL,
                auth_domain: 1,
                domains: 2,
                auth_domains: 3,
            }
            .encode(),
            "000005DC 0000000F 00000001 00000002 00000003 00000000 00000000".into(),
        ),
        (
            GetRequestForwarderResults {
                entity: A,
                principal: B.bits(),
                auth_domain: 1,
            }
            .encode(),
            format!("{A_HEX} {B_HEX} 00000001 00000000 00000000"),
        ),
        (
            CreateEntityResults { entity: A }.encode(),
            format!("{A_HEX} 0000000000000000 0000000000000000 00000000"),
        ),
        (
            ModifyServiceResults { count: 7 }.encode(),
            "00000007 0000000000000000 0000000000000000 0000000000000000".into(),
        ),
        (NoResults {}.encode(), "00".repeat(28)),
    ];
    for (mcb, octets) in results {
        assert_eq!(mcb.code.bits(), 0);
        assert_eq!(in_header(mcb), hex::<28>(&octets));
    }
}

/// Shows: D-16-a
#[test]
fn probe_entity_response_layout() {
    let mcb = Mcb::from_parameters(
        Code::default(),
        &hex("00001001 0A000001000004D2 0A000001000003E8 0A00000100000000"),
    );
    let results = ProbeEntityResults::decode(&mcb).unwrap();
    assert_eq!(results.transaction.bits(), 0x1001);
    assert_eq!(results.process, domain1_identifier([10, 0, 0, 1], 1_234));
    assert_eq!(results.principal, domain1_identifier([10, 0, 0, 1], 1_000));
    assert_eq!(
        results.effective_principal,
        domain1_identifier([10, 0, 0, 1], 0)
    );
    assert_eq!(results.encode(), mcb);
}

/// Shows: D-16-b, III-010F-a
#[test]
fn notify_vmtp_client_layout() {
    let (_, code, octets) = requests().swap_remove(14);
    assert_eq!(code, 0x4500_010F);
    let mcb = Mcb::from_parameters(Code::from_bits(code), &hex(&octets));
    let notify = NotifyVmtpClient::decode(&mcb).unwrap();
    assert_eq!(notify.client, A);
    assert_eq!(mcb.coresident(), A);
    assert_eq!(notify.control.bits(), 0x4031_0081);
    assert_eq!(notify.receive_sequence, 0xD1D2_D3D4);
    assert_eq!(notify.transaction.bits(), 0xE1E2_E3E4);
    assert_eq!(notify.delivery.bits(), 0xF1F2_F3F4);
    assert_eq!(notify.code.response_code(), Some(ResponseCode::Retry));
    assert_eq!(notify.encode(), mcb);
    assert!(mcb.code.has(Code::DGM) && mcb.code.has(Code::CRE) && mcb.code.has(Code::PIC));
}

/// Shows: D-16-c, III-0110-a
#[test]
fn notify_vmtp_server_layout() {
    let (_, code, octets) = requests().swap_remove(15);
    assert_eq!(code, 0x4500_0110);
    let mcb = Mcb::from_parameters(Code::from_bits(code), &hex(&octets));
    let notify = NotifyVmtpServer::decode(&mcb).unwrap();
    assert_eq!(notify.server, A);
    assert_eq!(mcb.coresident(), A);
    assert_eq!(notify.client, B);
    assert_eq!(notify.transaction.bits(), 0xE1E2_E3E4);
    assert_eq!(notify.delivery.bits(), 0xF1F2_F3F4);
    assert_eq!(
        notify.code.response_code(),
        Some(ResponseCode::ResponseDiscarded)
    );
    assert_eq!(notify.encode(), mcb);
    assert!(mcb.code.has(Code::DGM) && mcb.code.has(Code::CRE) && mcb.code.has(Code::PIC));
}

/// Of III-0111-a the code and the parameters; where it goes is the protocol's part.
#[test]
fn notify_remote_vmtp_client_is_not_routed_by_co_residence() {
    let (request, code, octets) = requests().swap_remove(16);
    let (_, _, of_client) = requests().swap_remove(14);
    assert_eq!(octets, of_client);
    assert_eq!(request.encode().code.bits(), code);
    assert!(!Code::from_bits(code).has(Code::CRE));
    let ManagementRequest::NotifyRemoteVmtpClient(remote) = request else {
        panic!("{request:?}")
    };
    assert_eq!(
        NotifyRemoteVmtpClient::from(NotifyVmtpClient::from(remote)),
        remote
    );
}

/// Shows: III-0101-a
#[test]
fn probe_entity_request_layout() {
    let probe = ProbeEntity {
        coresident: A,
        entity: B,
        auth_domain: 1,
    };
    let mut octets = [0; 64];
    Header::default().with_mcb(probe.encode()).emit(&mut octets);
    assert_eq!(octets[32..36], [0x05, 0x00, 0x01, 0x01]);
    assert_eq!(octets[36..44], hex::<8>(A_HEX));
    assert_eq!(octets[44..52], hex::<8>(B_HEX));
    assert_eq!(octets[52..56], [0, 0, 0, 1]);
}

/// Shows: III-0102-a
#[test]
fn auth_probe_entity_request_layout() {
    let probe = AuthProbeEntity {
        coresident: A,
        entity: B,
        auth_domain: 1,
        random_id: 0x0102_0304,
    };
    let mut octets = [0; 64];
    Header::default().with_mcb(probe.encode()).emit(&mut octets);
    assert_eq!(octets[32..36], [0x05, 0x00, 0x01, 0x02]);
    assert_eq!(octets[36..44], hex::<8>(A_HEX));
    assert_eq!(octets[44..52], hex::<8>(B_HEX));
    assert_eq!(octets[52..60], [0, 0, 0, 1, 1, 2, 3, 4]);
}

/// Shows: III-0102-b
#[test]
fn auth_probe_entity_response_layout() {
    let results = AuthProbeEntityResults {
        probe_authenticator: [0x5A; 20],
        encrypt_type: 0x0100_0001,
    };
    let mut octets = [0; 64];
    Header::default()
        .with_mcb(results.encode_with_segment(48))
        .emit(&mut octets);
    assert_eq!(octets[32..36], [0x10, 0, 0, 0]);
    assert_eq!(octets[36..56], [0x5A; 20]);
    assert_eq!(octets[56..60], [0x01, 0, 0, 0x01]);
    assert_eq!(octets[60..64], [0, 0, 0, 48]);
    assert_eq!(
        AuthProbeEntityResults::decode(&Header::parse(&octets).mcb()),
        Ok(results)
    );
}

/// Shows: III-0104-a
#[test]
fn query_vmtp_node_results_are_in_order() {
    let results = QueryVmtpNodeResults {
        mtu: 9_000,
        flags: NodeFlags::HANDLES_STREAMS,
        auth_domain: 5,
        domains: 1,
        auth_domains: 2,
    };
    let mcb = results.encode_with_segment(12);
    assert_eq!(mcb.code.bits(), 0x1000_0000);
    assert_eq!(
        in_header(mcb),
        hex::<28>("00002328 00000001 00000005 00000001 00000002 00000000 0000000C")
    );
    assert_eq!(QueryVmtpNodeResults::decode(&mcb), Ok(results));
}

/// Shows: III-010A-b
#[test]
fn group_parameters_are_entity_group_id_entity_id_and_perms() {
    for index in [9, 10] {
        let (request, code, _) = requests().swap_remove(index);
        let mut octets = [0; 64];
        Header::default()
            .with_mcb(request.encode())
            .emit(&mut octets);
        assert_eq!(octets[32..36], code.to_be_bytes());
        assert_eq!(octets[36..44], hex::<8>(A_HEX));
        assert_eq!(octets[44..52], hex::<8>(B_HEX));
        assert_eq!(octets[52..60], hex::<8>(C_HEX));
        assert_eq!(octets[60..64], [0, 0, 0, [0xFF, 0x22][index - 9]]);
    }
}

/// Decision 16: with SDA there are 24 octets of parameters.
#[test]
fn segment_takes_a_word_of_the_parameters() {
    for (request, code, octets) in requests() {
        let mut mcb = Mcb::from_parameters(Code::from_bits(code | Code::SDA), &hex(&octets));
        mcb.segment_size = 100;
        let needs_it = matches!(
            request.procedure(),
            Procedure::QueryEntity
                | Procedure::CreateGroup
                | Procedure::AddToGroup
                | Procedure::NotifyVmtpClient
                | Procedure::NotifyVmtpServer
                | Procedure::NotifyRemoteVmtpClient
        );
        let expected = if needs_it {
            Err(RequestError::Malformed(request.procedure()))
        } else {
            Ok(request)
        };
        assert_eq!(ManagementRequest::decode(&mcb), expected);
    }
    let results = Mcb {
        code: Code::from_bits(Code::SDA),
        ..Mcb::default()
    };
    assert_eq!(
        ProbeEntityResults::decode(&results),
        Err(ResultsError::Malformed)
    );
    assert_eq!(NoResults::decode(&results), Ok(NoResults {}));
}

/// III-0101: any code but OK means that the rest is to be discarded.
#[test]
fn results_of_a_refusal_cannot_be_read() {
    let mut mcb = ProbeEntityResults {
        transaction: Transaction::from_bits(1),
        process: 2,
        principal: 3,
        effective_principal: 4,
    }
    .encode();
    for code in [4, 8, 25, 99, 0x0080_0000] {
        mcb.code = Code::from_bits(code);
        assert_eq!(
            ProbeEntityResults::decode(&mcb),
            Err(ResultsError::Refused(mcb.code))
        );
    }
    let refusal = Mcb::refusal(ResponseCode::NonexistentEntity);
    assert_eq!(refusal.code.bits(), 4);
    assert_eq!(in_header(refusal), [0; 28]);
}

proptest! {
    #[test]
    fn any_control_block_decodes_or_is_refused_and_comes_back(
        flags: u8, number in prop_oneof![0x100u32..0x114, 0u32..0x0100_0000], octets: [u8; 28]
    ) {
        let mcb = Mcb::from_parameters(Code::new(u32::from(flags) << 24, number), &octets);
        match ManagementRequest::decode(&mcb) {
            Ok(request) => {
                prop_assert!(mcb.code.has(Code::PIC));
                prop_assert_eq!(request.procedure().number(), number);
                prop_assert_eq!(ManagementRequest::decode(&request.encode()), Ok(request));
            }
            Err(RequestError::Malformed(_)) => prop_assert!(mcb.code.has(Code::SDA)),
            Err(RequestError::UnknownProcedure(_)) => {
                prop_assert!(flags & 1 == 0 || !(0x101..=0x111).contains(&number));
            }
        }
    }
}
