//! The program `actor`, started by tests that are not about its every step.

use std::{
    ffi::OsString,
    fs, mem,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context as _, Result, ensure};

/// Lets the actor do what `words` say at `path`, to its end.
pub fn run(actor: &str, words: &[&str], path: &Path) -> Result<()> {
    let status = Command::new(actor).args(words).arg(path).status()?;
    ensure!(status.success(), "actor {words:?}: {status}");
    Ok(())
}

/// An actor that has written and holds its files open until it is let go; killed when dropped before.
#[derive(Debug)]
pub struct Holding {
    child: Option<Child>,
    sign: PathBuf,
}

impl Holding {
    /// An actor that goes on when `sign` exists, which ends its command line.
    pub fn start<A: Into<OsString>>(
        actor: &str,
        words: impl IntoIterator<Item = A>,
        sign: PathBuf,
    ) -> Result<Self> {
        let words = words.into_iter().map(Into::into);
        let child = Command::new(actor).args(words).arg(&sign).spawn()?;
        Ok(Self {
            child: Some(child),
            sign,
        })
    }

    /// Its process number.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the actor has ended")?.id())
    }

    /// Lets it go on to its end.
    pub fn release(mut self) -> Result<()> {
        let mut child = self.child.take().context("the actor has ended")?;
        fs::write(mem::take(&mut self.sign), "")?;
        let status = child.wait()?;
        ensure!(status.success(), "the actor: {status}");
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
