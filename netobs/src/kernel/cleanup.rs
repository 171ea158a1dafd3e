//! What a killed agent left behind → gone; everybody else's filters untouched.

use std::io;

use anyhow::{Context as _, Result};
use aya::programs::{
    TcAttachType,
    tc::{self, TcError},
};

use super::{EGRESS, INGRESS, clsact};

/// Removes our filters from every interface of this network namespace; says what was removed. TCX links,
/// socket programs and tables are gone with the process that had them, so filters are all there can be.
/// The clsact queueing discipline goes with the last of its filters if that was ours.
///
/// # Errors
/// Where interfaces cannot be listed or a filter cannot be removed.
pub fn cleanup() -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let interfaces = nix::net::if_::if_nameindex().context("listing interfaces")?;
    for interface in &interfaces {
        let Ok(name) = interface.name().to_str() else { continue };
        let swept = sweep(name)?;
        if !swept.is_empty()
            && let Err(error) = clsact::remove_if_empty(interface.index())
        {
            tracing::debug!(interface = name, %error, "clsact stays");
        }
        removed.extend(swept);
    }
    Ok(removed)
}

/// Removes our filters from one interface.
pub(super) fn sweep(interface: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let hooks = [(TcAttachType::Ingress, INGRESS, "ingress"), (TcAttachType::Egress, EGRESS, "egress")];
    for (hook, program, word) in hooks {
        match tc::qdisc_detach_program(interface, hook, program) {
            Ok(()) => removed.push(format!("filter {program} at {word} of {interface}")),
            Err(error) if nothing_there(&error) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("removing {program} from {interface}"));
            }
        }
    }
    Ok(removed)
}

/// No filter of ours, no clsact at all (`EINVAL`), or an interface that went meanwhile.
fn nothing_there(error: &TcError) -> bool {
    let number = match error {
        TcError::IoError(error) if error.kind() == io::ErrorKind::NotFound => return true,
        TcError::IoError(error) => error.raw_os_error(),
        TcError::NetlinkError(error) => error.raw_os_error(),
        _ => None,
    };
    matches!(number, Some(libc::ENODEV | libc::EINVAL | libc::ENXIO | libc::ENOENT))
}
