// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages and acknowledgements as octets, and which characters may be shown.

/// A message is shorter than this, all parts and NULs included.
pub const SIZE: usize = 512;
/// The longest cookie.
pub const COOKIE_MAX: usize = 32;

/// The version of a message, by its first octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// RFC 1159: recipient, terminal and text.
    A,
    /// RFC 1312: also who sends it, a cookie and a signature.
    #[default]
    B,
}

impl Version {
    /// How many NULs end the parts.
    fn parts(self) -> usize {
        match self {
            Version::A => 3,
            Version::B => 7,
        }
    }

    fn octet(self) -> u8 {
        match self {
            Version::A => b'A',
            Version::B => b'B',
        }
    }
}

/// A message; its parts are ISO 8859/1, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The version, which says how many parts count.
    pub version: Version,
    /// Whom it is for; nobody in particular if empty.
    pub recipient: Vec<u8>,
    /// At which terminal; `*` is all.
    pub terminal: Vec<u8>,
    /// The text.
    pub text: Vec<u8>,
    /// Who sends it.
    pub sender: Vec<u8>,
    /// From which terminal.
    pub sender_terminal: Vec<u8>,
    /// What makes the message known when it comes again.
    pub cookie: Vec<u8>,
    /// Of no meaning to RFC 1312 itself.
    pub signature: Vec<u8>,
}

/// Why octets are no message, or a message has no octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More must come.
    #[error("the message is not complete")]
    Incomplete,
    /// It begins with another version, or has more after its last part.
    #[error("this is no message of version A or B")]
    Malformed,
    /// It is too long.
    #[error("the message has {0} octets, and may have at most 511 with the names in it: shorten the text")]
    TooLong(usize),
    /// The cookie is too long.
    #[error("the cookie is longer than 32 octets")]
    Cookie,
}

impl Message {
    /// Reads the message at the start of some octets, and how many it has.
    pub fn parse_first(octets: &[u8]) -> Result<(Message, usize), Error> {
        let version = match octets.first() {
            None => return Err(Error::Incomplete),
            Some(b'A') => Version::A,
            Some(b'B') => Version::B,
            Some(_) => return Err(Error::Malformed),
        };
        let bounded = octets.get(..octets.len().min(SIZE)).unwrap_or_default();
        let mut parts = bounded
            .get(1..)
            .unwrap_or_default()
            .split(|octet| *octet == 0);
        let mut length = 1;
        let mut found = Vec::with_capacity(version.parts());
        for _ in 0..version.parts() {
            let part = parts.next().unwrap_or_default();
            length += part.len() + 1;
            found.push(part.to_vec());
        }
        // What split gives last is not ended by a NUL.
        if parts.next().is_none() {
            return Err(match bounded.len() {
                SIZE => Error::TooLong(octets.len()),
                _ => Error::Incomplete,
            });
        }
        if length >= SIZE {
            return Err(Error::TooLong(length));
        }
        let mut found = found.into_iter();
        let mut next = || found.next().unwrap_or_default();
        let message = Message {
            version,
            recipient: next(),
            terminal: next(),
            text: next(),
            sender: next(),
            sender_terminal: next(),
            cookie: next(),
            signature: next(),
        };
        if message.cookie.len() > COOKIE_MAX {
            return Err(Error::Cookie);
        }
        Ok((message, length))
    }

    /// Reads octets that are one message.
    pub fn parse(octets: &[u8]) -> Result<Message, Error> {
        match Message::parse_first(octets)? {
            (message, length) if length == octets.len() => Ok(message),
            _ => Err(Error::Malformed),
        }
    }

    /// The message, if it is short enough. Control characters and NULs in its parts are left out.
    pub fn to_octets(&self) -> Result<Vec<u8>, Error> {
        let mut octets = vec![self.version.octet()];
        let parts = [
            clean_line(&self.recipient),
            clean_line(&self.terminal),
            clean_text(&self.text),
            clean_line(&self.sender),
            clean_line(&self.sender_terminal),
            clean_line(&self.cookie),
            clean_line(&self.signature),
        ];
        for part in parts.iter().take(self.version.parts()) {
            octets.extend_from_slice(part);
            octets.push(0);
        }
        if octets.len() >= SIZE {
            return Err(Error::TooLong(octets.len()));
        }
        if self.cookie.len() > COOKIE_MAX {
            return Err(Error::Cookie);
        }
        Ok(octets)
    }
}

/// Whether a character of ISO 8859/1 is printable: neither C0 (or DEL) nor C1.
fn is_printable(octet: u8) -> bool {
    matches!(octet, 0x20..=0x7E | 0xA0..=0xFF)
}

/// What may be shown of a name or of one line.
pub fn clean_line(octets: &[u8]) -> Vec<u8> {
    octets
        .iter()
        .copied()
        .filter(|octet| is_printable(*octet))
        .collect()
}

/// What may be shown of a text: also TAB, and each kind of line end as CR and LF.
pub fn clean_text(octets: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'\r' => {
                clean.extend_from_slice(b"\r\n");
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            b'\n' => clean.extend_from_slice(b"\r\n"),
            b'\t' => clean.push(octet),
            octet if is_printable(octet) => clean.push(octet),
            _ => (),
        }
    }
    clean
}

/// ISO 8859/1 of a text; `?` for what it does not have.
pub fn from_utf8(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'))
        .collect()
}

/// The text of ISO 8859/1.
pub fn to_utf8(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

/// What a server says of a message (RFC 1312): delivered or not, and an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Whether it was delivered to a terminal.
    pub delivered: bool,
    /// To which, or why not; ISO 8859/1.
    pub explanation: Vec<u8>,
}

impl Acknowledgement {
    /// As sent: + or -, the explanation, NUL.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![if self.delivered { b'+' } else { b'-' }];
        octets.extend(clean_line(&self.explanation));
        octets.push(0);
        octets
    }

    /// Reads one, without what may not be shown. The NUL may be missing.
    pub fn parse(octets: &[u8]) -> Option<Acknowledgement> {
        let (sign, rest) = octets.split_first()?;
        Some(Acknowledgement {
            delivered: match sign {
                b'+' => true,
                b'-' => false,
                _ => return None,
            },
            explanation: clean_line(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1312, octet by octet.
    const EXAMPLE: &[u8] = b"Bchris\0\0Hi\r\nHow about lunch?\0sandy\0console\0910806121325\0\0";

    #[test]
    fn the_example_of_the_rfc_is_read_and_written() {
        assert_eq!(EXAMPLE.len(), 57);
        let message = Message::parse(EXAMPLE).unwrap();
        assert_eq!(
            message,
            Message {
                version: Version::B,
                recipient: b"chris".to_vec(),
                terminal: vec![],
                text: b"Hi\r\nHow about lunch?".to_vec(),
                sender: b"sandy".to_vec(),
                sender_terminal: b"console".to_vec(),
                cookie: b"910806121325".to_vec(),
                signature: vec![],
            }
        );
        assert_eq!(message.to_octets().unwrap(), EXAMPLE);
    }

    #[test]
    fn version_1_has_three_parts() {
        let octets = b"Achris\0tty1\0hello\0";
        let message = Message::parse(octets).unwrap();
        assert_eq!(message.version, Version::A);
        assert_eq!(message.text, b"hello");
        assert_eq!(message.to_octets().unwrap(), octets);
    }

    #[test]
    fn what_is_cut_off_is_incomplete_and_what_is_too_much_malformed() {
        for end in 0..EXAMPLE.len() {
            assert_eq!(Message::parse(&EXAMPLE[..end]), Err(Error::Incomplete));
        }
        let mut more = EXAMPLE.to_vec();
        more.push(0);
        assert_eq!(Message::parse(&more), Err(Error::Malformed));
        assert_eq!(Message::parse_first(&more).unwrap().1, EXAMPLE.len());
        assert_eq!(Message::parse(b"Cx\0\0\0"), Err(Error::Malformed));
    }

    #[test]
    fn a_message_has_at_most_511_octets() {
        let mut octets = b"A\0\0".to_vec();
        octets.extend([b'x'; 507]);
        octets.push(0);
        assert_eq!(octets.len(), 511);
        assert!(Message::parse(&octets).is_ok());
        octets.insert(3, b'x');
        assert_eq!(Message::parse(&octets), Err(Error::TooLong(512)));
        octets.insert(3, b'x');
        assert_eq!(Message::parse(&octets), Err(Error::TooLong(513)));
        let long = Message {
            text: vec![b'x'; 504],
            ..Message::default()
        };
        assert_eq!(long.to_octets(), Err(Error::TooLong(512)));
    }

    #[test]
    fn no_control_character_is_left() {
        let all: Vec<u8> = (0..=255).collect();
        for octet in clean_line(&all) {
            assert!((0x20..0x7F).contains(&octet) || octet >= 0xA0, "{octet:#x}");
        }
        assert_eq!(clean_line(&all).len(), 95 + 96);
        assert_eq!(
            clean_text(b"a\rb\nc\r\nd\te\x1b[2Jf\x9b2Jg\x07"),
            b"a\r\nb\r\nc\r\nd\te[2Jf2Jg"
        );
        let text = Message {
            text: b"\x1b]0;x\x07\0y".to_vec(),
            sender: b"a\r\nb".to_vec(),
            ..Message::default()
        };
        assert_eq!(text.to_octets().unwrap(), b"B\0\0]0;xy\0ab\0\0\0\0");
    }

    #[test]
    fn acknowledgements_are_a_sign_and_an_explanation() {
        let no = Acknowledgement {
            delivered: false,
            explanation: b"nobody\x1b".to_vec(),
        };
        assert_eq!(no.to_octets(), b"-nobody\0");
        assert_eq!(
            Acknowledgement::parse(b"+tty1\x1b\0").unwrap().explanation,
            b"tty1"
        );
        assert_eq!(Acknowledgement::parse(b""), None);
        assert_eq!(Acknowledgement::parse(b"x"), None);
    }

    #[test]
    fn texts_go_to_latin_1_and_back() {
        assert_eq!(from_utf8("é€"), [0xE9, b'?']);
        assert_eq!(to_utf8(&[0xE9]), "é");
    }
}
