//! Bytes → shared values: the only place that names types any bit pattern of which is valid.

use core::{mem::size_of, ptr};

/// A type without padding, pointers or invalid bit patterns, so that kernel bytes are always a value of it.
///
/// # Safety
/// Implement only for `repr(C)` or `repr(transparent)` types whose fields are integers, integer arrays
/// or other `Pod` types, and whose size is the sum of its fields.
pub unsafe trait Pod: Copy + 'static {}

/// Reads a value from the start of `bytes`; `None` when they are too few. Alignment does not matter.
#[must_use]
pub fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked, the read is unaligned, and every bit pattern is a valid `T` (`Pod`).
    Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a value, as a kernel map stores them.
#[must_use]
pub fn bytes<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: a `Pod` has no padding, so all of its bytes are initialised; the lifetime is the borrow's.
    unsafe { core::slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) }
}

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        // SAFETY: each is `repr(C)` or `repr(transparent)` over integers, its size proven beside its definition.
        $(unsafe impl Pod for $type {})+
    };
}

pod!(
    u8,
    u16,
    u32,
    u64,
    crate::counters::Counters,
    crate::counters::FlowCounters,
    crate::counters::PathCounters,
    crate::drop::DropCounters,
    crate::drop::DropKey,
    crate::drop::DropLayout,
    crate::drop::DropRestKey,
    crate::drop::Dropped,
    crate::drop::Place,
    crate::endpoint::Party,
    crate::icmp_error::IcmpError,
    crate::icmp_error::IcmpErrorKey,
    crate::inner::DeviceLayout,
    crate::inner::InnerKey,
    crate::interface::Interface,
    crate::key::AddressKey,
    crate::key::Datagram,
    crate::key::FlowKey,
    crate::key::FragmentKey,
    crate::key::Ports,
    crate::key::PathKey,
    crate::key::PrefixKey,
    crate::key::SkipKey,
    crate::owner::BoundPort,
    crate::owner::SocketOwner,
    crate::owner::TaskLayout,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_bytes_are_no_value() {
        assert_eq!(read::<u32>(&[1, 2, 3]), None);
        assert_eq!(read::<u16>(&[0x34, 0x12, 0xff]), Some(u16::from_ne_bytes([0x34, 0x12])));
    }
}
