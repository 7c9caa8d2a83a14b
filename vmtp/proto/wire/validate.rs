// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which packets are no VMTP packets: everything that one packet alone can get wrong, and its name
//! for the counters.
//!
//! The checksum, the domain, the destination address and the other packets of the group are checked
//! where they are known.

use super::{
    padded, Code, Control, Header, Mask, GROUP_OCTETS, MESSAGE_OCTETS_MAX, OVERHEAD_OCTETS,
};

macro_rules! wire_errors {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $silent:literal;)*) => {
        /// What is wrong with a packet. All are discarded; those that are not
        /// [`silent`](WireError::silent) are notified as VMTP_ERROR if the packet came by unicast,
        /// its checksum verified and it is no Notify.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum WireError {
            $($(#[$meta])* $variant,)*
        }

        impl WireError {
            /// Every error, in the order they are checked.
            pub const ALL: &'static [WireError] = &[$(WireError::$variant),*];

            /// Its name for counters and traces. It does not change.
            pub const fn name(self) -> &'static str {
                match self {
                    $(WireError::$variant => $name,)*
                }
            }

            /// Whether the packet is discarded without telling anyone, however it came.
            pub const fn silent(self) -> bool {
                match self {
                    $(WireError::$variant => $silent,)*
                }
            }
        }
    };
}

wire_errors! {
    /// The IP payload is shorter than 68 octets, the smallest packet.
    Runt = "runt", true;
    /// The IP payload has an odd number of octets.
    OddPayload = "odd_payload", true;
    /// Version is not 0.
    Version = "version", true;
    /// An encrypted packet whose size is not 68 + 4 * Length octets, or whose Length is odd or
    /// above 4096.
    EncryptedSize = "encrypted_size", true;
    /// Length is odd or above 4096.
    Length = "length", false;
    /// The IP payload is not 68 + 4 * Length octets.
    PayloadSize = "payload_size", false;
    /// Client is zero, a group, or has the reserved type flag.
    Client = "client", false;
    /// Server is zero or has the reserved type flag, or is a group in a Response.
    Server = "server", false;
    /// CMG without NER: the message goes on in the next packet group but the run ends.
    ContinuedEndsRun = "continued_ends_run", false;
    /// There is segment data or a PacketDelivery, but no SDA.
    DataWithoutSegment = "data_without_segment", false;
    /// SegmentSize is above 4 megaoctets.
    SegmentTooLong = "segment_too_long", false;
    /// SegmentSize is above 16384, but the message is one packet group: neither NSR nor CMG is set.
    GroupTooLong = "group_too_long", false;
    /// CMG, but the segment ends in the first packet group.
    NothingContinued = "nothing_continued", false;
    /// PacketDelivery has a block wholly beyond the segment.
    DeliveryBeyondSegment = "delivery_beyond_segment", false;
    /// The segment data is not as long as the blocks in PacketDelivery.
    DataLength = "data_length", false;
    /// MDM, but the segment is longer than the 32 blocks of MsgDelivery.
    MaskTooShort = "mask_too_short", false;
    /// MsgDelivery is used and has a block wholly beyond the segment.
    MessageDeliveryBeyondSegment = "message_delivery_beyond_segment", false;
    /// MsgDelivery is used and PacketDelivery has a block that it has not.
    DeliveryBeyondMessage = "delivery_beyond_message", false;
}

impl Header {
    /// Everything that can be checked in one packet, given the octets of its IP payload. If the
    /// packet is encrypted (EPG) that is only what is never encrypted;
    /// [`check_message`](Self::check_message) is then for the decrypted header.
    ///
    /// # Errors
    ///
    /// The first of [`WireError`], in its order, that applies.
    #[inline]
    pub fn check(&self, ip_payload_octets: usize) -> Result<(), WireError> {
        self.check_frame(ip_payload_octets)?;
        if self.epg {
            return Ok(());
        }
        self.check_message()
    }

    /// The size of the packet and the fields that are clear also in an encrypted one: Client,
    /// Version, Domain, packet flags and Length (2.6).
    ///
    /// # Errors
    ///
    /// The first of [`WireError`] that applies.
    #[inline]
    pub fn check_frame(&self, ip_payload_octets: usize) -> Result<(), WireError> {
        if ip_payload_octets < OVERHEAD_OCTETS as usize {
            return Err(WireError::Runt);
        }
        if ip_payload_octets % 2 != 0 {
            return Err(WireError::OddPayload);
        }
        if self.version != 0 {
            return Err(WireError::Version);
        }
        let bad_length = self.length % 2 != 0 || self.data_octets() > GROUP_OCTETS;
        let bad_payload =
            ip_payload_octets != OVERHEAD_OCTETS.wrapping_add(self.data_octets()) as usize;
        if bad_length || bad_payload {
            return Err(match (self.epg, bad_length) {
                (true, _) => WireError::EncryptedSize,
                (false, true) => WireError::Length,
                (false, false) => WireError::PayloadSize,
            });
        }
        if !self.client.is_client() {
            return Err(WireError::Client);
        }
        Ok(())
    }

    /// Everything else: the fields that an encrypted packet hides.
    ///
    /// # Errors
    ///
    /// The first of [`WireError`] that applies.
    #[inline]
    pub fn check_message(&self) -> Result<(), WireError> {
        // 3.4: the Server of a Response is the entity that answers, also if the Request named a
        // group.
        if !self.server.is_valid() || (self.is_response() && self.server.is_group()) {
            return Err(WireError::Server);
        }
        // 3.2: with CMG the next packet group has to be part of the same run.
        if self.control.has(Control::CMG) && !self.control.has(Control::NER) {
            return Err(WireError::ContinuedEndsRun);
        }
        if self.code.has(Code::SDA) {
            self.check_segment()
        } else if self.length != 0 || !self.delivery.is_empty() {
            Err(WireError::DataWithoutSegment)
        } else if self.control.has(Control::CMG) {
            Err(WireError::NothingContinued)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn check_segment(&self) -> Result<(), WireError> {
        if self.segment_size > MESSAGE_OCTETS_MAX {
            return Err(WireError::SegmentTooLong);
        }
        if self.segment_size > GROUP_OCTETS {
            if !self.control.has(Control::CMG | Control::NSR) {
                return Err(WireError::GroupTooLong);
            }
        } else if self.control.has(Control::CMG) {
            return Err(WireError::NothingContinued);
        }
        let group_octets = self.group_octets();
        let group = Mask::for_octets(group_octets);
        if !group.contains(self.delivery) {
            return Err(WireError::DeliveryBeyondSegment);
        }
        if self.data_octets() != padded(self.delivery.octets(group_octets)) {
            return Err(WireError::DataLength);
        }
        if self.code.has(Code::MDM) {
            let message = Mask::from_bits(self.message_delivery);
            if self.segment_size > GROUP_OCTETS {
                return Err(WireError::MaskTooShort);
            }
            if !group.contains(message) {
                return Err(WireError::MessageDeliveryBeyondSegment);
            }
            if !message.contains(self.delivery) {
                return Err(WireError::DeliveryBeyondMessage);
            }
        }
        Ok(())
    }
}
