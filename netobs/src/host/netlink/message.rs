//! Datagram → messages, and request → datagram: the netlink header. Pure.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer};

const HEADER: usize = 16;

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: of the request it answers, 0 for notifications.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Answers a dump whose subject changed meanwhile: something may be missing.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }

    /// For `NLMSG_ERROR` and `NLMSG_DONE`: the error number, positive, 0 for success.
    #[must_use]
    pub fn error(&self) -> i32 {
        self.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes).saturating_neg())
    }
}

/// Splits a datagram; ends silently where the rest is no message, so compare the lengths to notice it.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(rest).ok()?;
        let length = usize::try_from(buffer.length()).ok()?;
        let message = Message {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            payload: rest.get(HEADER..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A request for a dump: `kind`, and the fixed header that goes with it.
#[must_use]
pub fn request(kind: u16, sequence: u32, fixed: &[u8]) -> Vec<u8> {
    message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, fixed)
}

/// A request for nothing but its acknowledgement: every family of the kernel gives one (netlink_rcv_skb,
/// net/netlink/af_netlink.c, Linux 6.18).
#[must_use]
pub(super) fn knock(sequence: u32) -> Vec<u8> {
    const NLMSG_NOOP: u16 = 1;
    message(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, sequence, &[])
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_itself() {
        let bytes = request(18, 7, &[1, 2, 3, 4]);
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(
            found,
            [Message { kind: 18, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence: 7, payload: &[1, 2, 3, 4] }]
        );
    }

    #[test]
    fn several_messages_are_split_at_the_alignment() {
        let mut bytes = request(1, 1, &[9]);
        bytes.extend_from_slice(&[0; 3]);
        bytes.extend(request(2, 2, &[]));
        let kinds: Vec<_> = messages(&bytes).map(|message| (message.kind, message.payload.len())).collect();
        assert_eq!(kinds, [(1, 1), (2, 0)]);
    }

    #[test]
    fn an_error_carries_its_number() {
        let error = |payload: &[u8]| Message { kind: 2, flags: 0, sequence: 1, payload }.error();
        assert_eq!(error(&(-1i32).to_ne_bytes()), 1);
        assert_eq!(error(&[]), 0);
        assert_eq!(error(&i32::MIN.to_ne_bytes()), i32::MAX);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_split_without_panic_and_end(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256)) {
            proptest::prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER);
        }
    }
}
