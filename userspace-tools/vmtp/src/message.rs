// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages: the Requests and Responses that a program sends, and what it receives.
//!
//! Each is a message control block (2.4) with a segment. Sending and receiving is `socket.rs`. User
//! data are 32-bit words in host byte order, as the kernel has them; as octets they are in the
//! order in which they are on the wire.

use crate::sys::{self, vmtp_mcb, vmtp_msg};
use crate::{Code, Entity, Host};

/// A Request to send: a code, up to 32 octets of parameters, and a segment of up to
/// [`MESSAGE_SIZE`](crate::MESSAGE_SIZE) octets.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    mcb: vmtp_mcb,
    segment: &'a [u8],
    cookie: u64,
    host: Host,
    more: bool,
}

/// A Response to send.
#[derive(Clone, Debug, Default)]
pub struct Reply<'a> {
    mcb: vmtp_mcb,
    segment: &'a [u8],
}

/// The methods that Requests and Responses share.
macro_rules! outgoing {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Sends this segment along.
            pub fn segment(mut self, segment: &'a [u8]) -> Self {
                self.segment = segment;
                self
            }

            /// The last two parameter words, MsgDelivery and SegmentSize. The first is a parameter
            /// only without [`partial`](Self::partial), the second only without a segment; the
            /// kernel replaces them else.
            pub fn last_words(mut self, msg_delivery: u32, segment_size: u32) -> Self {
                if self.mcb.code & sys::VMTP_MDM == 0 {
                    self.mcb.msg_delivery = msg_delivery;
                }
                self.mcb.segment_size = segment_size;
                self
            }

            /// Sends only the blocks of 512 octets in this mask, least significant bit first, and
            /// has the rest not asked for (MDM; 2.13). Up to 16,384 octets.
            pub fn partial(mut self, mask: u32) -> Self {
                self.mcb.code |= sys::VMTP_MDM;
                self.mcb.msg_delivery = mask;
                self
            }

            /// The 4 bits of priority as on the wire (3.2), instead of the socket's.
            pub fn priority(mut self, priority: u8) -> Self {
                self.mcb.priority = priority;
                self.flag(sys::VMTP_F_PRIORITY)
            }

            /// Asks that the packet group is acknowledged (APG).
            pub fn acknowledge(self) -> Self {
                self.flag(sys::VMTP_F_APG)
            }

            /// What is missing is not sent again (NRT).
            pub fn no_retransmission(self) -> Self {
                self.flag(sys::VMTP_F_NRT)
            }

            /// Checksums the header only (HCO).
            pub fn header_checksum(self) -> Self {
                self.flag(sys::VMTP_F_HCO)
            }

            fn flag(mut self, flag: u8) -> Self {
                self.mcb.flags |= flag;
                self
            }
        }
    };
}

outgoing!(Request);
outgoing!(Reply);

impl<'a> Request<'a> {
    /// A Request with this Code word: 24 bits of code, [`Code::APPLICATION`] and above being free
    /// for applications, and flags (`sys::VMTP_PIC` and others, which the methods below set too).
    pub fn new(code: u32) -> Self {
        Request {
            mcb: vmtp_mcb {
                code,
                function: sys::VMTP_REQUEST,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// The last 12 octets of user data (the UserData field of a Request), as three words.
    pub fn user_words(mut self, words: [u32; 3]) -> Self {
        let [first, second, ..] = self.mcb.user;
        let [a, b, c] = words;
        self.mcb.user = [first, second, a, b, c];
        self
    }

    /// The last 12 octets of user data, in wire order.
    pub fn user_octets(self, octets: [u8; 12]) -> Self {
        let [a, b, c, ..] = words(&octets);
        self.user_words([a, b, c])
    }

    /// The first 8 octets of user data, as two words. They are user data only without a co-resident
    /// entity.
    pub fn first_words(mut self, words: [u32; 2]) -> Self {
        let [_, _, a, b, c] = self.mcb.user;
        let [first, second] = words;
        self.mcb.user = [first, second, a, b, c];
        self
    }

    /// Sends it to whoever of a group is on one host with this entity (CRE; 2.7).
    pub fn coresident(mut self, entity: Entity) -> Self {
        self.mcb.code |= sys::VMTP_CRE;
        self.mcb.coresident = entity.bits();
        self
    }

    /// A datagram: nobody answers (DGM).
    pub fn datagram(mut self) -> Self {
        self.mcb.code |= sys::VMTP_DGM;
        self
    }

    /// Delivered only if the server is waiting for a Request at that moment (CMD; 2.9).
    pub fn conditional(mut self) -> Self {
        self.mcb.code |= sys::VMTP_CMD;
        self
    }

    /// The Responses of several members of the group are wanted (MRD; 2.7).
    pub fn multiple_responses(mut self) -> Self {
        self.mcb.code |= sys::VMTP_MRD;
        self
    }

    /// The members of the group answer after a random delay each (DRT).
    pub fn delay_responses(self) -> Self {
        self.flag(sys::VMTP_F_DRT)
    }

    /// A number that comes back with each Response.
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Sends it to this host, whatever the cache and the identifier say.
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Another Request of the run follows (NER; 2.11). For sockets that stream.
    pub fn more(mut self, more: bool) -> Self {
        self.more = more;
        self
    }

    pub(crate) fn to_msg(&self, server: Entity) -> (vmtp_msg, &'a [u8]) {
        let mut msg = vmtp_msg {
            mcb: self.mcb,
            cookie: self.cookie,
            host: self.host.0,
            ..Default::default()
        };
        msg.mcb.server = server.bits();
        msg.flags = if self.more { sys::VMTP_MSG_MORE } else { 0 };
        (msg, self.segment)
    }
}

impl<'a> Reply<'a> {
    /// A Response with this Code word: 24 bits of code, [`Code::OK`] or any other, and flags.
    pub fn new(code: u32) -> Self {
        Reply {
            mcb: vmtp_mcb {
                code,
                function: sys::VMTP_RESPONSE,
                ..Default::default()
            },
            segment: &[],
        }
    }

    /// A Response with the code OK.
    pub fn ok() -> Self {
        Reply::new(sys::VMTP_OK)
    }

    /// The 20 octets of user data, as five words.
    pub fn user_words(mut self, words: [u32; 5]) -> Self {
        self.mcb.user = words;
        self
    }

    /// The 20 octets of user data, in wire order.
    pub fn user_octets(self, octets: [u8; 20]) -> Self {
        self.user_words(words(&octets))
    }

    /// The operation can be repeated: the Response need not be kept, a repeated Request is executed
    /// again (DGM).
    pub fn idempotent(mut self) -> Self {
        self.mcb.code |= sys::VMTP_DGM;
        self
    }

    /// Sends it to the group of the Request too, at most 16,384 octets of it: members that want such
    /// Responses and have not answered get it ([`Server::recv_any`](crate::Server::recv_any); 2.7).
    pub fn to_group(self) -> Self {
        self.flag(sys::VMTP_F_GROUP_RESPONSE)
    }

    /// Answers nothing: the Client is told NONEXISTENT_ENTITY.
    pub fn abandon() -> Self {
        Reply::ok().flag(sys::VMTP_F_ABANDON)
    }

    pub(crate) fn to_msg(&self, to: &Mcb) -> (vmtp_msg, &'a [u8]) {
        let mut msg = vmtp_msg {
            mcb: self.mcb,
            ..Default::default()
        };
        msg.mcb.client = to.0.client;
        msg.mcb.transaction = to.0.transaction;
        (msg, self.segment)
    }
}

/// Wire order to words; what is short counts as zero.
fn words(octets: &[u8]) -> [u32; 5] {
    let mut words = [0; 5];
    for (word, chunk) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = chunk.try_into().map(u32::from_be_bytes).unwrap_or_default();
    }
    words
}

/// A received message control block (2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mcb(pub(crate) vmtp_mcb);

impl Mcb {
    /// Of a Request: whom it was sent to, perhaps a group. Of a Response: who answered.
    pub fn server(&self) -> Entity {
        Entity::from_bits(self.0.server)
    }

    /// Whose transaction it is.
    pub fn client(&self) -> Entity {
        Entity::from_bits(self.0.client)
    }

    /// The co-resident entity, if the message has one (CRE).
    pub fn coresident(&self) -> Option<Entity> {
        self.has(sys::VMTP_CRE)
            .then(|| Entity::from_bits(self.0.coresident))
    }

    /// The transaction identifier.
    pub fn transaction(&self) -> u32 {
        self.0.transaction
    }

    /// The code without its flags.
    pub fn code(&self) -> Code {
        Code::from_word(self.0.code)
    }

    /// The whole Code word, flags included.
    pub fn code_word(&self) -> u32 {
        self.0.code
    }

    /// Whether all of these flags (`sys::VMTP_CMD` and so on) are in the Code word.
    pub fn has(&self, flags: u32) -> bool {
        self.0.code & flags == flags
    }

    /// The five words of user data. Of a Request the first two are the co-resident entity if there
    /// is one.
    pub fn user_words(&self) -> [u32; 5] {
        self.0.user
    }

    /// The 20 octets of user data in wire order.
    pub fn user_octets(&self) -> [u8; 20] {
        let mut octets = [0; 20];
        for (chunk, word) in octets.chunks_exact_mut(4).zip(self.0.user) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        octets
    }

    /// The MsgDelivery word: with MDM the mask of the blocks that are there, else user data.
    pub fn msg_delivery(&self) -> u32 {
        self.0.msg_delivery
    }

    /// The mask of the blocks of the segment that are there, if parts may be missing (MDM). Those that
    /// are not are zeros in the segment.
    pub fn delivered(&self) -> Option<u32> {
        self.has(sys::VMTP_MDM).then_some(self.0.msg_delivery)
    }

    /// The SegmentSize word: octets of the whole segment if there is one (SDA), else user data.
    pub fn segment_size(&self) -> u32 {
        self.0.segment_size
    }

    /// Octets of the whole segment, received or not; 0 without one.
    pub fn segment_len(&self) -> usize {
        if self.has(sys::VMTP_SDA) {
            self.0.segment_size as usize
        } else {
            0
        }
    }

    /// How often the Request was forwarded (2.8).
    pub fn forward_count(&self) -> u8 {
        self.0.forward_count
    }

    /// The 4 bits of priority as on the wire (3.2).
    pub fn priority(&self) -> u8 {
        self.0.priority
    }

    /// Whether this is what another member of a group answered to a Request that the socket has (2.7).
    pub fn is_group_response(&self) -> bool {
        self.0.function == sys::VMTP_GROUP_RESPONSE
    }

    /// Whether the Client of this group Request is a member of the group itself (MDG).
    pub fn client_is_member(&self) -> bool {
        self.0.flags & sys::VMTP_F_MDG != 0
    }
}

impl From<vmtp_mcb> for Mcb {
    fn from(mcb: vmtp_mcb) -> Mcb {
        Mcb(mcb)
    }
}

/// What a receiving call tells beside the segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The message control block.
    pub mcb: Mcb,
    /// Where it came from.
    pub host: Host,
    /// The cookie of the Request that this Response answers, or 0.
    pub cookie: u64,
    /// Where in the whole segment this piece begins.
    pub offset: usize,
    /// Octets that were stored.
    pub received: usize,
}

impl Received {
    pub(crate) fn new(msg: &vmtp_msg) -> Received {
        Received {
            mcb: Mcb(msg.mcb),
            host: Host(msg.host),
            cookie: msg.cookie,
            offset: msg.offset as usize,
            received: msg.received as usize,
        }
    }

    /// Whether this piece is the last of its message.
    pub fn is_complete(&self) -> bool {
        self.offset.saturating_add(self.received) >= self.mcb.segment_len()
    }
}

/// A Response to a Request of this program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Response {
    pub(crate) received: Received,
    pub(crate) segment: Vec<u8>,
}

impl Response {
    /// A Response made by hand, for the tests of programs that get Responses.
    pub fn new(received: Received, segment: Vec<u8>) -> Response {
        Response { received, segment }
    }

    /// How the transaction went.
    pub fn code(&self) -> Code {
        self.received.mcb.code()
    }

    /// The segment.
    pub fn segment(&self) -> &[u8] {
        &self.segment
    }

    /// The segment, to keep.
    pub fn into_segment(self) -> Vec<u8> {
        self.segment
    }

    /// Who answered.
    pub fn server(&self) -> Entity {
        self.received.mcb.server()
    }

    /// From which host.
    pub fn host(&self) -> Host {
        self.received.host
    }

    /// The cookie of the Request.
    pub fn cookie(&self) -> u64 {
        self.received.cookie
    }

    /// Everything in the message control block.
    pub fn mcb(&self) -> &Mcb {
        &self.received.mcb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twelve_octets_of_a_request_are_its_last_three_words() {
        let request = Request::new(0x80_0001)
            .user_octets(*b"abcdefghijkl")
            .first_words([1, 2]);
        let (msg, _) = request.to_msg(Entity::MANAGER_GROUP);
        assert_eq!(msg.mcb.user, [1, 2, 0x6162_6364, 0x6566_6768, 0x696A_6B6C]);
        assert_eq!(
            (msg.mcb.server, msg.mcb.function),
            (sys::VMTP_MANAGER_GROUP, sys::VMTP_REQUEST)
        );
        assert_eq!(&Mcb(msg.mcb).user_octets()[8..], b"abcdefghijkl");
    }

    #[test]
    fn a_reply_names_its_request_and_nothing_else_of_it() {
        let request = Mcb(vmtp_mcb {
            client: 7,
            server: 8,
            transaction: 9,
            forward_count: 1,
            code: sys::VMTP_SDA,
            flags: sys::VMTP_F_MDG,
            ..Default::default()
        });
        let (msg, segment) = Reply::new(5).idempotent().segment(b"x").to_msg(&request);
        let expected = vmtp_mcb {
            client: 7,
            transaction: 9,
            code: 5 | sys::VMTP_DGM,
            function: sys::VMTP_RESPONSE,
            ..Default::default()
        };
        assert_eq!((msg.mcb, segment), (expected, b"x".as_slice()));
    }

    #[test]
    fn the_delivery_mask_is_not_taken_for_a_parameter() {
        let (msg, _) = Request::new(0)
            .partial(3)
            .last_words(9, 8)
            .to_msg(Entity::ZERO);
        assert_eq!((msg.mcb.msg_delivery, msg.mcb.segment_size), (3, 8));
        assert_eq!(Mcb(msg.mcb).delivered(), Some(3));
    }

    #[test]
    fn segment_size_is_user_data_without_a_segment() {
        let mut mcb = vmtp_mcb {
            segment_size: 99,
            ..Default::default()
        };
        assert_eq!(Mcb(mcb).segment_len(), 0);
        mcb.code = sys::VMTP_SDA;
        assert_eq!(Mcb(mcb).segment_len(), 99);
        let received = Received {
            mcb: Mcb(mcb),
            offset: 50,
            received: 48,
            ..Default::default()
        };
        assert!(!received.is_complete());
        assert!(Received {
            received: 49,
            ..received
        }
        .is_complete());
    }
}
