//! The loaded programs themselves, for whoever runs them on bytes (`BPF_PROG_TEST_RUN`) instead of packets:
//! the tests of the classifier and the bench. Nothing is attached by it.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result, bail};
use aya::programs::{Program, SchedClassifier};
use netobs_common::hook::Hook;

use super::{EGRESS, INGRESS, Kernel};

impl Kernel {
    /// The program of a hook.
    ///
    /// # Errors
    /// None is known for a loaded kernel side.
    pub fn program(&self, hook: Hook) -> Result<BorrowedFd<'_>> {
        Ok(self.classifier(hook)?.fd()?.as_fd())
    }

    /// How many instructions the verifier walked to accept the program of a hook; `None` before Linux 5.16.
    ///
    /// # Errors
    /// Where the kernel does not tell about its programs.
    pub fn verified_instructions(&self, hook: Hook) -> Result<Option<u32>> {
        let info = self.classifier(hook)?.info().context("reading about a program")?;
        Ok(info.verified_instruction_count())
    }

    fn classifier(&self, hook: Hook) -> Result<&SchedClassifier> {
        let name = if hook == Hook::INGRESS { INGRESS } else { EGRESS };
        match self.ebpf.program(name) {
            Some(Program::SchedClassifier(program)) => Ok(program),
            _ => bail!("the kernel side has no program {name}"),
        }
    }
}
