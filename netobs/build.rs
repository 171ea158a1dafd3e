//! `target/bpf/netobs`, built by `cargo xtask build-ebpf` → its path in `NETOBS_BPF_OBJECT`, for embedding.
//!
//! Never compiles the kernel side: that needs a compiler for the BPF target, which `cargo check`, clippy,
//! an editor and the pure tests do not. Where the object is missing, a development build embeds an empty
//! file and warns, and the agent says at run time what to do; a release build fails, for nobody wants one.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let directory = target_directory(&out)?.join("bpf");
    // Cargo takes a missing file for a changed one, on every build; a directory it watches by its contents.
    fs::create_dir_all(&directory)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", directory.display());

    let built = directory.join("netobs");
    let object = if built.is_file() {
        built
    } else if env::var("PROFILE").as_deref() == Ok("release") {
        return Err("the kernel side is not built: run `cargo xtask build-ebpf` first".into());
    } else {
        println!(
            "cargo::warning=the kernel side is not built, so this agent cannot observe: run `cargo xtask build-ebpf`"
        );
        let placeholder = out.join("netobs.missing");
        fs::write(&placeholder, [])?;
        placeholder
    };
    println!("cargo::rustc-env=NETOBS_BPF_OBJECT={}", object.display());
    Ok(())
}

/// Where `xtask` puts the object. Cargo does not tell a build script its target directory: it is the
/// outermost directory above `OUT_DIR` that cargo has tagged as a cache.
fn target_directory(out: &Path) -> Result<PathBuf, &'static str> {
    if let Some(given) = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from)
        && given.is_absolute()
    {
        return Ok(given);
    }
    let tagged = out.ancestors().filter(|directory| directory.join("CACHEDIR.TAG").is_file()).last();
    tagged
        .map(Path::to_path_buf)
        .ok_or("no target directory above OUT_DIR: set CARGO_TARGET_DIR to an absolute path")
}
