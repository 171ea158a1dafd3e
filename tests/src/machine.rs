//! A real virtual machine: qemu without a hypervisor's help (TCG), on taps of a network stack, with commands run
//! inside it over a serial line. Boots in a few seconds.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    machine_image::MachineImage,
    netns::Stack,
    process::{Background, until},
};

/// A network card of a machine.
#[derive(Clone, Debug)]
pub struct Card {
    /// The tap it ends in, made before.
    pub tap: &'static str,
    /// The last byte of its hardware address, 52:54:00:00:00 before it.
    pub mac: u8,
    /// Its address with the prefix's length.
    pub address: &'static str,
    /// The way out, if there is one.
    pub gateway: Option<&'static str>,
}

impl Card {
    /// The hardware address.
    #[must_use]
    pub fn mac(&self) -> String {
        format!("52:54:00:00:00:{:02x}", self.mac)
    }

    /// The word of the kernel's command line that configures it.
    #[must_use]
    pub fn word(&self, at: usize) -> String {
        format!("net{at}={},{}", self.address, self.gateway.unwrap_or("none"))
    }
}

/// A line to a machine.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    stream: Mutex<Option<BufReader<UnixStream>>>,
}

/// Without the instruction that compares and exchanges sixteen bytes: qemu 7.2's TCG leaves wrong flags after it now and
/// then, and a kernel from 6.7 on, whose allocator uses it, panics.
const CPU: &str = "qemu64,-cx16";

/// Commands may take long: the machine shares two cores with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

impl Console {
    /// The machine's second serial port, a socket at this path.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, stream: Mutex::new(None) }
    }

    /// Waits until the machine answers.
    ///
    /// # Errors
    /// When it does not within two minutes.
    pub fn wait(&self) -> Result<()> {
        until("the machine to boot", Duration::from_secs(120), || {
            self.say("true", Duration::from_secs(2)).map(drop)
        })
    }

    /// Runs a shell command line in the machine; it must succeed. Returns what it printed.
    ///
    /// # Errors
    /// When it fails, or does not end within a minute.
    pub fn run(&self, line: &str) -> Result<String> {
        self.say(line, PATIENCE)
    }

    fn say(&self, line: &str, patience: Duration) -> Result<String> {
        let mut stream = self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if stream.is_none() {
            *stream = Some(BufReader::new(UnixStream::connect(&self.path)?));
        }
        let reader = stream.as_mut().context("no line")?;
        let answer = ask(reader, line, patience);
        if answer.is_err() {
            // What comes late would be taken for the answer to the next line.
            *stream = None;
        }
        let (text, status) = answer.with_context(|| line.to_owned())?;
        if status == 0 { Ok(text) } else { bail!("`{line}` in the machine: {status}: {text}") }
    }
}

fn ask(reader: &mut BufReader<UnixStream>, line: &str, patience: Duration) -> Result<(String, i32)> {
    reader.get_ref().set_read_timeout(Some(patience))?;
    // A mark of its own tells this answer from the rest of an earlier one.
    let mark = crate::netns::unique("mark");
    writeln!(reader.get_mut(), "echo {mark}; {line}")?;
    let (mut text, mut marked) = (String::new(), false);
    loop {
        let mut part = String::new();
        if reader.read_line(&mut part)? == 0 {
            bail!("the line went dead");
        }
        match part.trim_end() {
            found if found == mark => marked = true,
            found if marked && found.starts_with("::") => return Ok((text, found[2..].parse()?)),
            _ if marked => text.push_str(&part),
            _ => {}
        }
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    process: Background,
    /// Its console.
    pub console: Console,
}

impl Machine {
    /// Starts a machine of this name in `stack`; it boots meanwhile.
    ///
    /// # Errors
    /// When qemu does not start.
    pub fn start(
        stack: &Stack,
        directory: &Path,
        image: &MachineImage,
        name: &str,
        uuid: &str,
        cards: &[Card],
    ) -> Result<Self> {
        let words: Vec<String> = cards.iter().enumerate().map(|(at, card)| card.word(at)).collect();
        let console = directory.join(format!("{name}.console"));
        // The file system lies in memory twice while it is unpacked.
        let megabytes = 192 + 8 * (std::fs::metadata(&image.initrd)?.len() >> 20);
        let mut arguments: Vec<String> =
            ["-accel", "tcg", "-cpu", CPU, "-nodefaults", "-no-user-config"].map(str::to_owned).to_vec();
        arguments.extend(["-m".into(), megabytes.to_string()]);
        arguments.extend(["-display", "none", "-no-reboot"].map(str::to_owned));
        arguments.extend(["-kernel".into(), image.kernel.display().to_string()]);
        arguments.extend(["-initrd".into(), image.initrd.display().to_string()]);
        arguments.extend(["-append".into(), format!("console=ttyS0 quiet panic=-1 {}", words.join(" "))]);
        arguments
            .extend(["-serial".into(), format!("file:{}", directory.join(format!("{name}.boot")).display())]);
        arguments.extend(["-serial".into(), format!("unix:{},server=on,wait=off", console.display())]);
        arguments.extend(["-name".into(), format!("guest={name}"), "-uuid".into(), uuid.into()]);
        for (at, card) in cards.iter().enumerate() {
            arguments.extend([
                "-netdev".into(),
                format!("tap,id=n{at},ifname={},script=no,downscript=no", card.tap),
                "-device".into(),
                format!("virtio-net-pci,netdev=n{at},mac={}", card.mac()),
            ]);
        }
        let log = directory.join(format!("{name}.log"));
        let process = Background::start(&mut stack.command("qemu-system-x86_64", &arguments), &log)?;
        Ok(Self { process, console: Console::at(console) })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// With qemu's log when it does not within two minutes.
    pub fn wait(&self) -> Result<()> {
        self.console.wait().with_context(|| self.process.log())
    }

    /// The monitor's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
