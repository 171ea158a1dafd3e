//! The object file → programs and tables in the kernel.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, ProgramArray},
    programs::{ProgramError, SchedClassifier},
    util::KernelVersion,
};
use netobs_common::{
    counters::{FlowCounters, PathCounters},
    endpoint::Party,
    icmp_error::{IcmpError, IcmpErrorKey},
    inner::InnerKey,
    interface::Interface,
    key::{AddressKey, FlowKey, PathKey, PrefixKey, SkipKey},
    maps,
    owner::{BoundPort, SocketOwner},
    pod,
};

use super::{
    EGRESS, ICMP_ERROR, INGRESS,
    attach::{AttachMode, Attachments},
    drops::{self, DropTables},
    errors, layout, object,
    table::Table,
};

/// What the operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Entries of the flow table.
    pub max_flows: u32,
    /// How programs are put on interfaces.
    pub attach: AttachMode,
    /// Inode of the network namespace whose sockets have their owners recorded.
    pub own_network: u32,
}

/// The loaded kernel side. Dropped, it takes its programs off every interface.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) attachments: Attachments,
    pub(super) flows: Table<FlowKey, FlowCounters>,
    pub(super) paths: Table<PathKey, PathCounters>,
    pub(super) skips: Table<SkipKey, netobs_common::counters::Counters>,
    pub(super) errors: Table<IcmpErrorKey, IcmpError>,
    pub(super) unlisted_errors: PerCpuArray<MapData, u64>,
    /// Emptied by the kernel when nobody holds it.
    _icmp_error_program: ProgramArray<MapData>,
    pub(super) owners: HashMap<MapData, u64, [u8; size_of::<SocketOwner>()]>,
    pub(super) ports: HashMap<MapData, [u8; size_of::<BoundPort>()], [u8; size_of::<SocketOwner>()]>,
    pub(super) spill: PerCpuArray<MapData, [u8; SPILL_SIZE]>,
    pub(super) interfaces: HashMap<MapData, u32, [u8; size_of::<Interface>()]>,
    pub(super) inner: HashMap<MapData, [u8; size_of::<InnerKey>()], [u8; size_of::<Interface>()]>,
    pub(super) drops: DropTables,
    /// Whether this kernel says where a device keeps its namespace.
    pub(super) knows_devices: bool,
    /// Written after every change of `interfaces`, with its number.
    pub(super) generation: (Array<MapData, u32>, u32),
    pub(super) addresses: HashMap<MapData, [u8; size_of::<AddressKey>()], [u8; size_of::<Party>()]>,
    pub(super) prefixes: LpmTrie<MapData, [u8; size_of::<PrefixKey>()], [u8; size_of::<Party>()]>,
    /// What stands in `addresses`, so that only differences are written.
    pub(super) written_addresses: BTreeMap<AddressKey, Party>,
    /// What stands in `prefixes`, by length and address.
    pub(super) written_prefixes: BTreeMap<(u8, PrefixKey), Party>,
}

pub(super) const SPILL_SIZE: usize = size_of::<netobs_common::counters::Counters>();

impl Kernel {
    /// Loads programs and tables. Nothing is attached yet.
    ///
    /// # Errors
    /// What the kernel refused, in one line: missing privilege, missing BTF, the verifier.
    pub fn load(options: Options) -> Result<Self> {
        let object = object::bytes()?;
        raise_memlock();
        let coarse_clock = u8::from(has_coarse_clock());
        let description = layout::description();
        let layout = layout::task(&description, options.own_network);
        let device = layout::device(&description);
        let inner_layout = device.unwrap_or_default();
        let (drop_layout, described) = drops::described(&description);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::FLOWS, options.max_flows)
            .override_global("COARSE_CLOCK", &coarse_clock, true)
            .override_global("TASK_LAYOUT", pod::bytes(&layout), true)
            .override_global("DEVICE_LAYOUT", pod::bytes(&inner_layout), true)
            .override_global("DROP_LAYOUT", pod::bytes(&drop_layout), true)
            .load(object)
            .context("loading the kernel side")?;
        for name in [INGRESS, EGRESS, ICMP_ERROR] {
            let program: &mut SchedClassifier = ebpf
                .program_mut(name)
                .with_context(|| format!("the kernel side has no program {name}"))?
                .try_into()?;
            program.load().map_err(|error| refused(name, &error))?;
        }
        #[cfg(feature = "kernel-log")]
        super::log::forward(&mut ebpf);
        let icmp_error_program = errors::told(&mut ebpf)?;
        let mut take = |name: &'static str| {
            ebpf.take_map(name).with_context(|| format!("the kernel side has no table {name}"))
        };
        Ok(Self {
            flows: Table::new(take(maps::FLOWS)?, maps::FLOWS)?,
            paths: Table::new(take(maps::PATHS)?, maps::PATHS)?,
            skips: Table::new(take(maps::SKIPS)?, maps::SKIPS)?,
            errors: Table::new(take(maps::ICMP_ERRORS)?, maps::ICMP_ERRORS)?,
            unlisted_errors: take(maps::ICMP_ERRORS_UNLISTED)?.try_into()?,
            _icmp_error_program: icmp_error_program,
            owners: take(maps::OWNERS)?.try_into()?,
            ports: take(maps::PORTS)?.try_into()?,
            spill: take(maps::SPILL)?.try_into()?,
            interfaces: take(maps::INTERFACES)?.try_into()?,
            inner: take(maps::INNER)?.try_into()?,
            drops: DropTables::new(&mut take, described)?,
            knows_devices: device.is_some(),
            generation: (take(maps::GENERATION)?.try_into()?, 0),
            addresses: take(maps::ADDRESSES)?.try_into()?,
            prefixes: take(maps::PREFIXES)?.try_into()?,
            written_addresses: BTreeMap::new(),
            written_prefixes: BTreeMap::new(),
            attachments: Attachments::new(options.attach),
            ebpf,
        })
    }
}

/// One line; the verifier's reasons, hundreds of lines, go to the log where somebody asks for them.
pub(super) fn refused(program: &str, error: &ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            tracing::debug!(program, %verifier_log, "the verifier's log");
            let hint = match io_error.raw_os_error() {
                Some(libc::EPERM) => "CAP_BPF and CAP_NET_ADMIN are needed",
                Some(libc::EACCES) => {
                    "the verifier refused it; CAP_PERFMON is needed too; --log-level debug has its log"
                }
                _ => "--log-level debug has the verifier's log",
            };
            anyhow::anyhow!("the kernel refused the program {program}: {io_error} ({hint})")
        }
        other => anyhow::anyhow!("loading the program {program}: {other}"),
    }
}

/// 5.11 brought the coarse clock helper, and tables charged to the memory cgroup.
fn has_coarse_clock() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 11, 0))
}

/// Below Linux 5.11 tables count against the limit of locked memory. What the kernel refuses here it
/// refuses again at load, with a message of its own.
fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    if !has_coarse_clock()
        && let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
    {
        tracing::debug!(%error, "the limit of locked memory stays as it is");
    }
}
