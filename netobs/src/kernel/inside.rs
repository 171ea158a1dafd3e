//! Programs on both hooks of an interface inside an endpoint's network stack.
//!
//! By TCX links alone: those end with the process wherever they are. A clsact filter would have to be taken off from
//! inside, and stays where the namespace cannot be entered any more.

use std::{fs::File, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use netobs_common::{inner::InnerKey, interface::Interface};
use nix::sched::{CloneFlags, setns};

use super::{Kernel, attach::AttachMode, load::refused, write::array};

/// The programs' names in the object file.
const PROGRAMS: [(&str, TcAttachType); 2] =
    [("netobs_inner_ingress", TcAttachType::Ingress), ("netobs_inner_egress", TcAttachType::Egress)];

impl Kernel {
    /// Puts programs on an interface inside a namespace, by its file and the inode it must have. Loads them first
    /// where nothing inside was observed yet.
    ///
    /// # Errors
    /// No BTF, no TCX, no privilege to enter; the namespace or the interface is gone.
    pub fn attach_inside(
        &mut self,
        file: &File,
        key: InnerKey,
        name: &str,
        interface: Interface,
    ) -> Result<()> {
        ensure!(self.knows_devices, "this kernel does not describe its own structures (BTF)");
        ensure!(self.attachments.mode() != AttachMode::Clsact, "only TCX is used inside namespaces");
        ensure!(file.metadata()?.ino() == u64::from(key.namespace), "the network namespace is gone");
        self.set_inside(key, interface)?;
        match self.attach_both(file, key.index, name) {
            Ok(links) => {
                self.attachments.inside.insert(key, links);
                Ok(())
            }
            Err(error) => {
                self.detach_inside(&key);
                Err(error).with_context(|| format!("attaching to {name} inside {}", key.namespace))
            }
        }
    }

    /// Says what an interface inside a namespace is, for packets from now on.
    ///
    /// # Errors
    /// A full table.
    pub fn set_inside(&mut self, key: InnerKey, interface: Interface) -> Result<()> {
        self.inner
            .insert(array(&key), array(&interface), 0)
            .context("telling the kernel side of an inner interface")
    }

    /// Takes the programs off, whether the interface is still there or not.
    pub fn detach_inside(&mut self, key: &InnerKey) {
        drop(self.attachments.inside.remove(key));
        if let Err(error) = self.inner.remove(&array(key)) {
            tracing::trace!(namespace = key.namespace, index = key.index, %error, "forgetting an inner interface");
        }
    }

    fn attach_both(&mut self, file: &File, index: u32, name: &str) -> Result<[SchedClassifierLink; 2]> {
        let mut links = Vec::new();
        for (program, hook) in PROGRAMS {
            let program: &mut SchedClassifier = self
                .ebpf
                .program_mut(program)
                .with_context(|| format!("the kernel side has no program {program}"))?
                .try_into()?;
            if program.fd().is_err() {
                program.load().map_err(|error| refused("inside", &error))?;
            }
            // A link is made in the namespace of the thread that asks; a thread that entered another one ends there.
            let link = std::thread::scope(|scope| -> Result<SchedClassifierLink> {
                let attach = || -> Result<SchedClassifierLink> {
                    setns(file, CloneFlags::CLONE_NEWNET).context("entering the network namespace")?;
                    // The kernel is asked by name: one that is another interface's by now must not be attached to.
                    ensure!(nix::net::if_::if_nametoindex(name) == Ok(index), "the interface is gone");
                    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
                    let link = program.attach_with_options(name, hook, options)?;
                    Ok(program.take_link(link)?)
                };
                let Ok(done) = scope.spawn(attach).join() else { bail!("the thread inside failed") };
                done
            })?;
            links.push(link);
        }
        let both: Result<[SchedClassifierLink; 2], _> = links.try_into();
        both.map_err(|_| anyhow::anyhow!("not both hooks"))
    }
}
