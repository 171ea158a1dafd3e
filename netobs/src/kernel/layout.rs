//! Where this kernel keeps the namespaces of processes and devices, for the programs that record socket owners and
//! for those inside endpoints; and what it says of the packets it drops.

use netobs_common::{
    drop::{self, DropLayout},
    inner::DeviceLayout,
    owner::TaskLayout,
};

use super::btf::Btf;

/// The kernel's description of its own structures, some megabytes; empty where it has none.
pub(super) fn description() -> Vec<u8> {
    std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default()
}

/// The layout by the kernel's description of itself; all zero where it has none or lacks a member, and owners
/// are then known by process number alone.
pub(super) fn task(described: &[u8], own_network: u32) -> TaskLayout {
    let found = Btf::parse(described).and_then(|btf| judge(&btf, own_network));
    if found.is_none() {
        tracing::warn!(
            "this kernel does not say where it keeps a process's namespaces: connections of containers on the host's network are shown as the host's"
        );
    }
    found.unwrap_or_default()
}

/// Where a packet's device says its namespace; `None` where the kernel does not describe itself.
pub(super) fn device(described: &[u8]) -> Option<DeviceLayout> {
    let btf = Btf::parse(described)?;
    Some(DeviceLayout {
        device: btf.offset("sk_buff", &["dev"])?,
        network: btf.offset("net_device", &["nd_net", "net"])?,
        inode: btf.offset("net", &["ns", "inum"])?,
    })
}

/// What the kernel says of dropped packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Drops {
    /// Where it stands.
    pub(super) layout: DropLayout,
    /// Why packets are dropped: the names of the reasons, as the kernel has them, and their numbers.
    pub(super) reasons: Vec<(String, u32)>,
}

/// What this kernel says of dropped packets.
///
/// # Errors
/// What it does not say.
pub(super) fn drops(described: &[u8]) -> Result<Drops, &'static str> {
    if described.is_empty() {
        return Err("this kernel does not describe its own structures (no /sys/kernel/btf/vmlinux)");
    }
    let btf =
        Btf::parse(described).ok_or("the kernel's description of its structures (BTF) cannot be read")?;
    judge_drops(&btf)
}

/// The tracepoint by the name of its type; the first argument is the tracepoint's own.
const TRACEPOINT: &str = "btf_trace_kfree_skb";
const PREFIX: &str = "SKB_DROP_REASON_";

fn judge_drops(btf: &Btf<'_>) -> Result<Drops, &'static str> {
    // 5.17 brought the reason, 6.11 the receiving socket (include/trace/events/skb.h).
    let arguments = btf.arguments(TRACEPOINT).ok_or("this kernel has no tracepoint kfree_skb")?;
    if arguments < 4 {
        return Err("this kernel does not say why it drops packets (Linux 5.17 does)");
    }
    let words =
        btf.enumeration("skb_drop_reason").ok_or("this kernel has no reasons for dropping packets")?;
    let reasons = words.into_iter().filter_map(|(word, number)| {
        let word = word.strip_prefix(PREFIX).or_else(|| word.strip_prefix("SKB_"))?;
        (!matches!(word, "MAX" | "SUBSYS_MASK")).then(|| (word.to_lowercase(), number))
    });
    let layout =
        drop_layout(btf, arguments >= 5).ok_or("this kernel keeps its packets otherwise than known")?;
    Ok(Drops { layout, reasons: reasons.collect() })
}

fn drop_layout(btf: &Btf<'_>, tells_receiver: bool) -> Option<DropLayout> {
    let packet = |member| btf.offset("sk_buff", &[member]).filter(|at| *at < drop::BUFFER);
    Some(DropLayout {
        size: btf.size("sk_buff")?.min(drop::BUFFER),
        device: packet("dev")?,
        socket: packet("sk")?,
        length: packet("len")?,
        paged: packet("data_len")?,
        ingress: packet("skb_iif")?,
        protocol: packet("protocol")?,
        network_header: packet("network_header")?,
        head: packet("head")?,
        data: packet("data")?,
        device_index: btf.offset("net_device", &["ifindex"])?,
        device_network: btf.offset("net_device", &["nd_net", "net"])?,
        socket_network: btf.offset("sock", &["__sk_common", "skc_net", "net"])?,
        inode: btf.offset("net", &["ns", "inum"])?,
        tells_receiver: u32::from(tells_receiver),
    })
}

fn judge(btf: &Btf<'_>, own_network: u32) -> Option<TaskLayout> {
    Some(TaskLayout {
        nsproxy: btf.offset("task_struct", &["nsproxy"])?,
        mount: btf.offset("nsproxy", &["mnt_ns"])?,
        network: btf.offset("nsproxy", &["net_ns"])?,
        mount_inode: btf.offset("mnt_namespace", &["ns", "inum"])?,
        network_inode: btf.offset("net", &["ns", "inum"])?,
        own_network,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with the reasons of a kernel that numbers them as given, a tracepoint of so many arguments,
    /// and every structure that is looked into, all members after `shift` bytes.
    fn described(reasons: &[(&str, u32)], arguments: u32, shift: u32) -> Vec<u8> {
        let mut strings = vec![0_u8];
        let mut text = |word: &str| {
            let at = strings.len() as u32;
            strings.extend(word.as_bytes());
            strings.push(0);
            at
        };
        let mut types: Vec<u32> = Vec::new();
        // 1: the enumeration.
        types.extend([text("skb_drop_reason"), 6 << 24 | reasons.len() as u32, 4]);
        for (word, number) in reasons {
            types.extend([text(word), *number]);
        }
        // 2 to 4: the tracepoint.
        types.extend([text(TRACEPOINT), 8 << 24, 3, 0, 2 << 24, 4, 0, 13 << 24 | arguments, 0]);
        types.extend(std::iter::repeat_n(0, arguments as usize * 2));
        // 5: an integer.
        types.extend([0, 1 << 24, 4, 0]);
        let mut structure = |name: &str, size: u32, members: &[(&str, u32)]| {
            types.extend([text(name), 4 << 24 | members.len() as u32, size]);
            for (index, (member, of)) in members.iter().enumerate() {
                types.extend([text(member), *of, (shift + index as u32 * 8) * 8]);
            }
        };
        structure("ns_common", 64, &[("inum", 5)]);
        structure("net", 64, &[("ns", 6)]);
        structure("possible_net_t", 8, &[("net", 5)]);
        structure("sock_common", 64, &[("skc_net", 8)]);
        structure("sock", 64, &[("__sk_common", 9)]);
        structure("net_device", 64, &[("ifindex", 5), ("nd_net", 8)]);
        let members =
            ["dev", "sk", "len", "data_len", "skb_iif", "protocol", "network_header", "head", "data"];
        structure("sk_buff", 232, &members.map(|member| (member, 5)));
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    const REASONS: [(&str, u32); 5] = [
        ("SKB_NOT_DROPPED_YET", 0),
        ("SKB_CONSUMED", 1),
        ("SKB_DROP_REASON_NETFILTER_DROP", 12),
        ("SKB_DROP_REASON_MAX", 128),
        ("SKB_DROP_REASON_SUBSYS_MASK", 0xffff_0000),
    ];

    #[test]
    fn another_kernels_numbers_and_places_are_that_kernels() {
        let shifted = REASONS.map(|(word, number)| (word, number + 31));
        let judged = |reasons: &[(&str, u32)], shift| {
            let bytes = described(reasons, 5, shift);
            judge_drops(&Btf::parse(&bytes).unwrap()).unwrap()
        };
        let named = |drops: &Drops| -> Vec<(String, u32)> { drops.reasons.clone() };
        let words = |shift: u32| {
            [("not_dropped_yet", 0), ("consumed", 1), ("netfilter_drop", 12)]
                .map(|(word, number)| (word.to_owned(), number + shift))
                .to_vec()
        };
        let (one, other) = (judged(&REASONS, 0), judged(&shifted, 16));
        assert_eq!((named(&one), named(&other)), (words(0), words(31)));
        assert_eq!((one.layout.device, one.layout.data), (0, 64));
        assert_eq!((other.layout.device, other.layout.data), (16, 80));
        // A member of a member of a member is shifted three times.
        assert_eq!((one.layout.socket_network, other.layout.socket_network), (0, 48));
        assert_eq!((other.layout.device_index, other.layout.device_network), (16, 40));
    }

    #[test]
    fn a_kernel_that_gives_no_reason_or_no_receiver_is_told_by_the_tracepoints_arguments() {
        let judged = |arguments| {
            let bytes = described(&REASONS, arguments, 0);
            judge_drops(&Btf::parse(&bytes).unwrap()).map(|drops| drops.layout.tells_receiver)
        };
        assert!(judged(3).is_err_and(|why| why.contains("5.17")));
        assert_eq!((judged(4), judged(5)), (Ok(0), Ok(1)));
    }

    #[test]
    fn a_member_beyond_what_is_copied_is_not_known() {
        let bytes = described(&REASONS, 5, 250);
        assert!(judge_drops(&Btf::parse(&bytes).unwrap()).is_err());
    }

    #[test]
    fn the_running_kernel_names_its_reasons() {
        let Ok(drops) = drops(&description()) else { return };
        assert!(drops.reasons.iter().any(|(word, _)| word == "netfilter_drop"), "{:?}", drops.reasons);
    }
}
