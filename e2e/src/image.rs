//! The container images of the lab, as docker-archives, made without a registry: Debian's static busybox with a link per
//! applet, once per lab by `lab`, unpacked by `slurm`; and the operator's, for suites that run it in pods. Imported by
//! `cluster::real_node`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};

use crate::machine;

/// Names the image goes by. Jobs that name no image get ubuntu:latest from the operator, so it stands in.
pub const NAMES: [&str; 2] = ["lab/busybox:1", "ubuntu:latest"];

/// Writes the archive to `out`.
pub fn write(busybox: &Path, out: &Path) -> Result<()> {
    let config = json!({"Env": ["PATH=/bin"], "Cmd": ["sleep", "infinity"]});
    archive(&layer(busybox)?, &config, &NAMES, out)
}

/// Writes an image of the operator, by these names, to `out`. It is laid out as the Containerfile's, with the libraries
/// that this build needs beside the program: a static one would compile everything a second time.
pub fn write_operator(program: &Path, names: &[&str], out: &Path) -> Result<()> {
    let mut tar = Builder::new(Vec::new());
    let name = "sky-operator";
    append(&mut tar, name, EntryType::Regular, 0o755, &stripped(program)?)?;
    for library in libraries(program)? {
        let inside = library.strip_prefix("/").unwrap_or(&library);
        let content = fs::read(&library).with_context(|| format!("read {}", library.display()))?;
        append(
            &mut tar,
            &inside.display().to_string(),
            EntryType::Regular,
            0o755,
            &content,
        )?;
    }
    let config = json!({"User": "65532:65532", "Entrypoint": [format!("/{name}")]});
    archive(&tar.into_inner()?, &config, names, out)
}

/// The program without what only a debugger reads, where binutils are: a fifth of the size.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let Some(strip) = machine::find("strip") else {
        return Ok(fs::read(program)?);
    };
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new(strip)
        .arg("-o")
        .arg(out.path())
        .arg(program)
        .status()?;
    if !status.success() {
        bail!("strip {} failed", program.display());
    }
    Ok(fs::read(out.path())?)
}

/// The shared libraries of a program, the loader among them, as the loader finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        // A static program has none.
        return Ok(Vec::new());
    }
    let paths = text.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    });
    Ok(paths.collect())
}

fn archive(layer: &[u8], config: &Value, names: &[&str], out: &Path) -> Result<()> {
    let digest: String = Sha256::digest(layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]);
    let mut archive = Builder::new(File::create(out)?);
    for (name, content) in [
        ("config.json", config.to_string().as_bytes()),
        ("manifest.json", manifest.to_string().as_bytes()),
        ("layer.tar", layer),
    ] {
        append(&mut archive, name, EntryType::Regular, 0o644, content)?;
    }
    archive.finish()?;
    Ok(())
}

/// Unpacks the image's only layer into `folder`.
pub fn unpack(busybox: &Path, folder: &Path) -> Result<()> {
    Ok(Archive::new(layer(busybox)?.as_slice()).unpack(folder)?)
}

/// Whether `program` runs in an empty root: an ELF file without an interpreter.
pub fn is_static(program: &Path) -> bool {
    let mut content = Vec::new();
    let read = File::open(program).and_then(|file| file.take(4096).read_to_end(&mut content));
    let number = |at: usize, width: usize| -> Option<usize> {
        let bytes = content.get(at..at + width)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((start, size, count)) = headers() else {
        return false;
    };
    const INTERPRETER: usize = 3;
    read.is_ok()
        && content.starts_with(b"\x7fELF\x02\x01")
        && (0..count).all(|n| number(start + n * size, 4).is_some_and(|kind| kind != INTERPRETER))
}

fn layer(busybox: &Path) -> Result<Vec<u8>> {
    let list = Command::new(busybox)
        .arg("--list")
        .output()
        .context("run busybox --list")?;
    if !list.status.success() {
        bail!("{} --list failed", busybox.display());
    }
    let mut tar = Builder::new(Vec::new());
    for folder in ["bin/", "etc/", "root/", "proc/", "sys/", "dev/", "var/", "usr/"] {
        append(&mut tar, folder, EntryType::Directory, 0o755, &[])?;
    }
    append(&mut tar, "tmp/", EntryType::Directory, 0o1777, &[])?;
    append(
        &mut tar,
        "etc/passwd",
        EntryType::Regular,
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\n",
    )?;
    append(&mut tar, "etc/group", EntryType::Regular, 0o644, b"root:x:0:\n")?;
    append(
        &mut tar,
        "bin/busybox",
        EntryType::Regular,
        0o755,
        &fs::read(busybox)?,
    )?;
    let applets = String::from_utf8(list.stdout)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        link(&mut tar, &format!("bin/{applet}"), "busybox")?;
    }
    // Scripts that begin with /usr/bin/env.
    link(&mut tar, "usr/bin", "../bin")?;
    Ok(tar.into_inner()?)
}

fn append<W: std::io::Write>(
    tar: &mut Builder<W>,
    name: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    Ok(tar.append_data(&mut header, name, content)?)
}

fn link<W: std::io::Write>(tar: &mut Builder<W>, name: &str, target: &str) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    Ok(tar.append_link(&mut header, name, target)?)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(!is_static(Path::new("/bin/sh")));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/nowhere")));
    }
}
