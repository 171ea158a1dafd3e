//! The terminal: taken, and given back as it was, whatever happens in between.

use std::{
    io::{IsTerminal, Stdout, stdin, stdout},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

/// A terminal in raw mode and on its alternate screen, until it is dropped or the process panics.
pub(super) struct Screen {
    /// What is drawn on.
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Whether it has still to be given back.
    taken: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal. A panic of any thread gives it back before its message is printed, and sets `stop`,
    /// so that nothing is drawn over the message.
    ///
    /// # Errors
    /// Where standard input or output is no terminal, or does not do as told.
    pub(super) fn take(stop: &Arc<AtomicBool>) -> anyhow::Result<Self> {
        require()?;
        let taken = Arc::new(AtomicBool::new(false));
        restore_on_panic(Arc::clone(stop), Arc::clone(&taken));
        enable_raw_mode().context("the terminal refuses raw mode")?;
        // From here on everything that fails must give it back.
        taken.store(true, Ordering::SeqCst);
        let entered = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match entered {
            Ok(terminal) => Ok(Self { terminal, taken }),
            Err(error) => {
                give_back(&taken);
                Err(error).context("the terminal takes no output")
            }
        }
    }

    /// Whether a panic gave the terminal back already.
    pub(super) fn was_given_back(&self) -> bool {
        !self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.taken);
    }
}

/// One line instead of a screen of escape sequences in a file.
///
/// # Errors
/// Where standard input or output is no terminal.
pub(super) fn require() -> anyhow::Result<()> {
    if stdin().is_terminal() && stdout().is_terminal() {
        return Ok(());
    }
    bail!("`netobs top` needs a terminal; `netobs top --once` prints one table")
}

/// Whether the other side of the terminal is closed. `crossterm` reads on for ever then, so it cannot tell.
pub(super) fn is_hung_up() -> bool {
    let out = stdout();
    let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(_) => fds[0].revents().is_some_and(|got| got.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)),
        // Interrupted by a signal: asked again in a moment.
        Err(_) => false,
    }
}

/// Once: a second restore would move the cursor back to where it was before, over what was printed since.
fn give_back(taken: &AtomicBool) {
    if !taken.swap(false, Ordering::SeqCst) {
        return;
    }
    let cooked = disable_raw_mode();
    let left = execute!(stdout(), LeaveAlternateScreen, Show);
    if let Some(error) = cooked.err().or(left.err()) {
        tracing::debug!(%error, "the terminal could not be restored: it is gone");
    }
}

fn restore_on_panic(stop: Arc<AtomicBool>, taken: Arc<AtomicBool>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        stop.store(true, Ordering::SeqCst);
        give_back(&taken);
        print(panic);
    }));
}
