// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Request codes of the management procedures, and the bit sets among their parameters. The
//! parameters themselves are in wire_manage.rs.

use vmtp_proto::wire::*;

/// Shows: III.1-a
#[test]
fn group_permission_bits() {
    let bits = [
        (GroupPermissions::MANAGER, 0x01),
        (GroupPermissions::REM_BY_SELF, 0x02),
        (GroupPermissions::REM_BY_PRIN, 0x04),
        (GroupPermissions::REM_BY_OTHE, 0x08),
        (GroupPermissions::ADD_PRIN, 0x10),
        (GroupPermissions::ADD_OTHE, 0x20),
        (GroupPermissions::REM_PRIN, 0x40),
        (GroupPermissions::REM_OTHE, 0x80),
    ];
    for (permission, value) in bits {
        assert_eq!(permission.bits(), value);
        assert!(GroupPermissions::ALL.contains(permission));
        assert!(!GroupPermissions::ALL.minus(permission).contains(permission));
        assert!(!GroupPermissions::NONE.contains(permission));
    }
    assert_eq!(GroupPermissions::ALL.bits(), 0xFF);
}

/// The values of III-0104-b and III-010E-b to d; that they tell the truth or have effect is the
/// manager's part.
#[test]
fn node_and_service_flags() {
    let node = [
        NodeFlags::HANDLES_STREAMS,
        NodeFlags::ISSUES_STREAMS,
        NodeFlags::HANDLES_SECURITY,
        NodeFlags::ISSUES_SECURITY,
    ];
    assert_eq!(node.map(NodeFlags::bits), [1, 2, 4, 8]);
    let service = [
        ServiceFlags::THREAD_SERVICE,
        ServiceFlags::AUTHENTICATION_REQUIRED,
        ServiceFlags::SECURITY_REQUIRED,
        ServiceFlags::INCREMENTAL,
    ];
    assert_eq!(service.map(ServiceFlags::bits), [1, 2, 4, 8]);
}

/// Shows: D-4-b
#[test]
fn procedures_are_told_by_the_low_24_bits() {
    for printed in [0x0500_0102, 0x0D00_0102] {
        assert_eq!(
            Procedure::of(Code::from_bits(printed)),
            Some(Procedure::AuthProbeEntity)
        );
    }
    for printed in [0x0500_0108, 0x0D00_0108, 0x0100_0108, 0xFF00_0108] {
        assert_eq!(
            Procedure::of(Code::from_bits(printed)),
            Some(Procedure::QueryEntity)
        );
    }
    assert_eq!(Procedure::AuthProbeEntity.code().bits(), 0x0500_0102);
    assert_eq!(Procedure::QueryEntity.code().bits(), 0x0500_0108);

    let query = QueryEntity {
        entity: Entity::from_bits(0xA1A2_A3A4_A5A6_A7A8),
        reserved: [0; 16],
        segment_size: 16,
    };
    let printed = Mcb {
        code: Code::from_bits(0x0D00_0108),
        ..query.encode()
    };
    assert_eq!(
        ManagementRequest::decode(&printed),
        Ok(ManagementRequest::QueryEntity(query))
    );
}

/// Shows: II.1-a
#[test]
fn management_is_interface_1_with_pic() {
    let code = Code::from_bits;
    assert_eq!(code(0x0512_3456).interface(), 0x1234);
    assert!(Procedure::is_management(code(0x0100_0100)));
    assert!(Procedure::is_management(code(0xFF00_01FF)));
    assert!(!Procedure::is_management(code(0x0500_0201)));
    assert!(!Procedure::is_management(code(0x0501_0101)));
    assert!(!Procedure::is_management(code(0x0400_0101)));
    for unknown in [
        0x0500_0201,
        0x0501_0101,
        0x0500_0100,
        0x0500_0112,
        0x0500_01F0,
        0x0400_0101,
    ] {
        assert_eq!(Procedure::of(code(unknown)), None, "{unknown:#x}");
        let mcb = Mcb {
            code: code(unknown),
            ..Mcb::default()
        };
        assert_eq!(
            ManagementRequest::decode(&mcb),
            Err(RequestError::UnknownProcedure(code(unknown)))
        );
    }
    assert_eq!(
        Procedure::ALL
            .iter()
            .map(|p| p.number())
            .collect::<Vec<_>>(),
        (0x101..=0x111).collect::<Vec<_>>()
    );
}

#[test]
fn notifies_are_told_from_the_rest() {
    let notifies: Vec<_> = Procedure::ALL
        .iter()
        .filter(|p| p.is_notify())
        .map(|p| p.name())
        .collect();
    assert_eq!(
        notifies,
        [
            "NotifyVmtpClient",
            "NotifyVmtpServer",
            "NotifyRemoteVmtpClient"
        ]
    );
    let ordinary: Vec<_> = Procedure::ALL
        .iter()
        .filter(|p| !p.is_immediate())
        .map(|p| p.name())
        .collect();
    assert_eq!(
        ordinary,
        [
            "GetRequestForwarder",
            "CreateEntity",
            "DeleteEntity",
            "SignalEntity",
            "CreateGroup",
            "AddToGroup",
            "RemoveFromGroup",
            "ModifyService"
        ]
    );
}
