//! Socket buffer → segments on a cable (generic segmentation offload unfolded).

/// How many segments a socket buffer becomes on a cable.
///
/// `headers` is the number of bytes from the start of the frame to the end of its innermost transport
/// header. `gso_segs` is 0 for packets from a guest's tap (virtio), so it is computed there; measured on
/// Linux 6.18 to equal the frames that leave. See `struct skb_shared_info` in `include/linux/skbuff.h`.
#[must_use]
#[inline(always)]
pub const fn segments(length: u32, headers: u32, gso_size: u32, gso_segs: u32) -> u32 {
    if gso_size == 0 {
        1
    } else if gso_segs > 0 {
        gso_segs
    } else if length > headers {
        (length - headers).div_ceil(gso_size)
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_packet_is_one_segment() {
        assert_eq!(segments(1514, 66, 0, 0), 1);
    }

    #[test]
    fn the_kernels_count_wins() {
        assert_eq!(segments(65226, 66, 1448, 45), 45);
    }

    #[test]
    fn a_guests_super_packet_is_unfolded_by_size() {
        assert_eq!(segments(66 + 1448 * 3 + 1, 66, 1448, 0), 4);
        assert_eq!(segments(66 + 1448 * 3, 66, 1448, 0), 3);
    }

    #[test]
    fn a_super_packet_without_payload_is_one_segment() {
        assert_eq!(segments(66, 66, 1448, 0), 1);
    }
}
