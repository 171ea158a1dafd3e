//! Programs on both hooks of an interface: TCX at the head of the chain, else clsact filters of our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};
use netobs_common::{inner::InnerKey, interface::Interface};

use super::{
    EGRESS, INGRESS, Kernel, cleanup, clsact,
    syscall::{TCX_HOOKS, first_on},
};

/// Before every other filter: an observer behind a filter that takes packets away would not see them.
const PRIORITY: u16 = 1;
/// "no" in ASCII: with name and priority, what tells our filters from others'.
const HANDLE: TcHandle = TcHandle::new(0, 0x6e6f);

/// How programs are put on interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// TCX where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// TCX or nothing.
    Tcx,
    /// clsact, also where the kernel has TCX.
    Clsact,
}

/// How programs came to be on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attached {
    /// By links that vanish with the process.
    Tcx,
    /// By filters that are removed at the end, or swept at the next start.
    Clsact,
}

impl Attached {
    /// The word in logs and `doctor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Every interface's links, by interface index.
pub(super) struct Attachments {
    mode: AttachMode,
    links: BTreeMap<u32, (Attached, [SchedClassifierLink; 2])>,
    /// Of interfaces inside endpoints.
    pub(super) inside: BTreeMap<InnerKey, [SchedClassifierLink; 2]>,
    /// Interfaces that had no clsact before.
    added: BTreeSet<u32>,
}

impl Attachments {
    pub(super) const fn new(mode: AttachMode) -> Self {
        Self { mode, links: BTreeMap::new(), inside: BTreeMap::new(), added: BTreeSet::new() }
    }

    pub(super) const fn mode(&self) -> AttachMode {
        self.mode
    }

    /// Takes links and what they needed off an interface, which may be gone already.
    fn release(&mut self, index: u32) {
        drop(self.links.remove(&index));
        if self.added.remove(&index)
            && let Err(error) = clsact::remove_if_empty(index)
        {
            tracing::debug!(index, %error, "clsact stays");
        }
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        let indexes: Vec<u32> = self.links.keys().copied().collect();
        for index in indexes {
            self.release(index);
        }
    }
}

impl Kernel {
    /// Tells the kernel side of the interface, then puts its programs on both hooks.
    ///
    /// # Errors
    /// Where either hook refuses; nothing is left attached then. An interface that went meanwhile is one case.
    pub fn attach(&mut self, index: u32, name: &str, interface: Interface) -> Result<Attached> {
        // First, so that no packet is counted as of an unknown interface.
        self.set_interface(index, interface)?;
        let kinds: &[Attached] = match self.attachments.mode {
            AttachMode::Auto => &[Attached::Tcx, Attached::Clsact],
            AttachMode::Tcx => &[Attached::Tcx],
            AttachMode::Clsact => &[Attached::Clsact],
        };
        let mut result = Err(anyhow::anyhow!("no way to attach"));
        for &kind in kinds {
            result = self.attach_by(kind, index, name).map(|links| (kind, links));
            match &result {
                Ok(_) => break,
                Err(error) if kind == Attached::Tcx && has_no_tcx(error) => continue,
                Err(_) => break,
            }
        }
        match result {
            Ok((kind, links)) => {
                self.attachments.links.insert(index, (kind, links));
                Ok(kind)
            }
            Err(error) => {
                self.attachments.release(index);
                self.forget_interface(index);
                Err(error).with_context(|| format!("attaching to {name}"))
            }
        }
    }

    /// Takes the programs off an interface, which may be gone already.
    pub fn detach(&mut self, index: u32) {
        self.attachments.release(index);
        self.forget_interface(index);
    }

    /// Whether programs are on the interface.
    #[must_use]
    pub fn is_attached(&self, index: u32) -> bool {
        self.attachments.links.contains_key(&index)
    }

    /// Whether another program runs before ours at a hook of the interface, and may keep packets from us. The one
    /// that attached last at the head is the first; what it lets through is still counted.
    ///
    /// # Errors
    /// What the kernel says; an interface that went meanwhile is one case. Before TCX (6.6) nothing is known.
    pub fn is_preceded(&self, index: u32) -> Result<bool> {
        for (hook, name) in TCX_HOOKS.into_iter().zip([INGRESS, EGRESS]) {
            let program =
                self.ebpf.program(name).with_context(|| format!("the kernel side has no program {name}"))?;
            let first = match first_on(index, hook) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(false),
                other => other?,
            };
            if first.is_some_and(|first| program.info().is_ok_and(|own| own.id() != first)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn attach_by(&mut self, kind: Attached, index: u32, name: &str) -> Result<[SchedClassifierLink; 2]> {
        if kind == Attached::Clsact {
            if clsact::add(name)? {
                self.attachments.added.insert(index);
            }
            cleanup::sweep(name)?;
        }
        Ok([
            self.attach_hook(kind, name, INGRESS, TcAttachType::Ingress)?,
            self.attach_hook(kind, name, EGRESS, TcAttachType::Egress)?,
        ])
    }

    fn attach_hook(
        &mut self,
        kind: Attached,
        name: &str,
        program: &str,
        hook: TcAttachType,
    ) -> Result<SchedClassifierLink> {
        let options = match kind {
            Attached::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Attached::Clsact => {
                TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle: HANDLE, classid: None })
            }
        };
        let program: &mut SchedClassifier = self
            .ebpf
            .program_mut(program)
            .with_context(|| format!("the kernel side has no program {program}"))?
            .try_into()?;
        let link = program.attach_with_options(name, hook, options)?;
        Ok(program.take_link(link)?)
    }
}

/// Whether an attach failed because the kernel knows no TCX (`EINVAL` from `BPF_LINK_CREATE` before 6.6).
fn has_no_tcx(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<ProgramError>() {
        Some(ProgramError::SyscallError(error)) => {
            error.io_error.raw_os_error() == Some(libc::EINVAL)
                || error.io_error.kind() == io::ErrorKind::Unsupported
        }
        _ => false,
    }
}
