//! The only image the lab needs: busybox, and host programs with the libraries they load, as a tar stream.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    process::{command, run},
    require::find,
};

/// Applets that get a link in `/bin`; `busybox NAME` runs the others.
const APPLETS: &[&str] =
    &["sh", "cat", "sleep", "httpd", "nc", "wget", "ip", "ls", "echo", "kill", "traceroute"];

/// Lays out the root file system below `root`: busybox, and `programs` under `/bin` by their file names.
///
/// # Errors
/// When a program is missing or cannot be copied.
pub fn lay_out(root: &Path, programs: &[PathBuf]) -> Result<()> {
    for directory in ["bin", "tmp", "etc", "proc", "sys", "dev", "run", "lib", "lib64"] {
        fs::create_dir_all(root.join(directory))?;
    }
    // iperf3 looks its own user and its temporary directory up.
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(root.join("etc/index.html"), "netobs lab\n")?;
    let busybox = find("busybox").context("busybox is not installed (Debian: busybox-static)")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    let mut libraries = BTreeSet::new();
    for program in programs {
        let name = program.file_name().with_context(|| format!("{} is no file", program.display()))?;
        fs::copy(program, root.join("bin").join(name))
            .with_context(|| format!("copying {}", program.display()))?;
        libraries.extend(loaded_by(program)?);
    }
    libraries.extend(loaded_by(&busybox)?);
    for library in libraries {
        let copy = root.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(copy.parent().unwrap_or(root))?;
        fs::copy(&library, &copy).with_context(|| format!("copying {}", library.display()))?;
    }
    Ok(())
}

/// A command that writes the directory as a tar stream.
#[must_use]
pub fn tar(root: &Path) -> Command {
    let mut tar = command("tar", ["-C"]);
    tar.arg(root).args(["-c", "."]);
    tar
}

/// Writes the directory as an image of this name that sleeps, in the form `docker save` gives it and `ctr images
/// import` takes.
///
/// # Errors
/// When the archive cannot be written.
pub fn archive(root: &Path, name: &str, to: &Path) -> Result<()> {
    let directory = tempfile::tempdir_in(to.parent().unwrap_or(Path::new("/")))?;
    let layer = directory.path().join("layer.tar");
    run(tar(root).arg("-f").arg(&layer))?;
    let sum = run(command("sha256sum", [] as [&str; 0]).arg(&layer))?;
    let sum = sum.split_whitespace().next().context("no sum")?;
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": ["/bin/sleep", "100000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(directory.path().join("config.json"), config.to_string())?;
    fs::write(directory.path().join("manifest.json"), manifest.to_string())?;
    let mut pack = command("tar", ["-C"]);
    pack.arg(directory.path()).arg("-cf").arg(to).args(["manifest.json", "config.json", "layer.tar"]);
    run(&mut pack)?;
    Ok(())
}

fn loaded_by(program: &Path) -> Result<Vec<PathBuf>> {
    // `ldd` fails for a static program: it loads nothing.
    let listing = run(command("ldd", [] as [&str; 0]).arg(program)).unwrap_or_default();
    Ok(libraries_in(&listing))
}

fn libraries_in(listing: &str) -> Vec<PathBuf> {
    listing
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_both_forms_of_ldd_lines() {
        let listing = "\tlinux-vdso.so.1 (0x00007f45)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f45)\n";
        let found = libraries_in(listing);
        assert_eq!(
            found,
            [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
    }
}
