//! A packet inside an endpoint's network stack → what the collector says of the interface it is on. Indexes are
//! given anew in each namespace, so the namespace is read from the packet's device.

use aya_ebpf::{EbpfContext, Global, helpers::bpf_probe_read_kernel, programs::TcContext};
use netobs_common::{
    inner::{DeviceLayout, InnerKey},
    interface::Interface,
};

use crate::maps::INNER;

/// All zero where the kernel does not describe itself; then these programs are not attached.
#[unsafe(no_mangle)]
static DEVICE_LAYOUT: Global<DeviceLayout> = Global::new(DeviceLayout { device: 0, network: 0, inode: 0 });

/// What the interface of that index is; `None` where the collector has not told of it.
#[inline(always)]
pub(crate) fn find(ctx: &TcContext, index: u32) -> Option<Interface> {
    let layout = DEVICE_LAYOUT.load();
    // What a tc program is given for a context is the socket buffer itself; the verifier translates the fields of
    // `__sk_buff` and nothing else (`tc_cls_act_convert_ctx_access`, Linux 6.18).
    let device = read::<u64>(ctx.as_ptr() as u64, layout.device)?;
    let network = read::<u64>(device, layout.network)?;
    let key = InnerKey { namespace: read(network, layout.inode)?, index };
    // SAFETY: the value is plain integers; the collector replaces it whole.
    unsafe { INNER.get(&key) }.copied()
}

#[inline(always)]
fn read<T>(structure: u64, offset: u32) -> Option<T> {
    let field = structure.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper checks the address; one that cannot be read is an error, not a fault.
    unsafe { bpf_probe_read_kernel(field) }.ok()
}
