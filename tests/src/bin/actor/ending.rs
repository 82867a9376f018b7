//! The ways to part with an open file. The late bytes are written by whoever has it last.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::{self, MaybeUninit},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream, process::CommandExt as _},
    },
    process::{self, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use cache_tests::{
    cases::{Ending, LATE_BYTES},
    wait,
};
use rustix::{
    io::FdFlags,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
    process::{Signal, getpid, getppid, kill_process},
};

use super::{again, sys};

/// A parent that has nothing left to do but exit is gone long before.
const PARENT_EXITS: Duration = Duration::from_secs(10);

/// Parts with `file`; some ways do not return.
pub(super) fn end(file: File, ending: Ending) -> Result<()> {
    match ending {
        Ending::Close => drop(file),
        Ending::DupClose => {
            let second = File::from(rustix::io::dup(&file)?);
            drop(file);
            append_late(&second)?;
        }
        Ending::DupOver => {
            let mut descriptor = OwnedFd::from(file);
            rustix::io::dup2(File::open("/dev/null")?, &mut descriptor)?;
        }
        Ending::Exit => {
            mem::forget(file);
            process::exit(0);
        }
        Ending::Kill => {
            mem::forget(file);
            return kill_self();
        }
        Ending::Fork => return leave_to_child(file),
        Ending::ExecCloexec => {
            let error = again()?.arg("nothing").exec();
            mem::forget(file);
            bail!("cannot execute the actor: {error}");
        }
        Ending::ExecKeep => {
            rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
            let error = again()?
                .arg("append-to")
                .arg(file.as_raw_fd().to_string())
                .exec();
            bail!("cannot execute the actor: {error}");
        }
        Ending::PassFd => return pass(file),
    }
    Ok(())
}

/// Ends this process as nothing else can.
pub(super) fn kill_self() -> Result<()> {
    kill_process(getpid(), Signal::KILL)?;
    bail!("survived SIGKILL");
}

fn append_late(file: &File) -> io::Result<()> {
    let late = usize::try_from(LATE_BYTES).unwrap_or_default();
    file.write_all_at(&vec![b'l'; late], file.metadata()?.len())
}

fn leave_to_child(file: File) -> Result<()> {
    let parent = getpid();
    if sys::fork()?.is_some() {
        mem::forget(file);
        process::exit(0);
    }
    wait::until("exit of the parent", PARENT_EXITS, || {
        Ok((getppid() != Some(parent)).then_some(()))
    })?;
    Ok(append_late(&file)?)
}

/// Second half of [`Ending::ExecKeep`].
pub(super) fn append_to_inherited(descriptor: &str) -> Result<()> {
    Ok(append_late(&sys::inherited(descriptor.parse()?))?)
}

fn pass(file: File) -> Result<()> {
    let (mut own, other) = UnixStream::pair()?;
    let other = OwnedFd::from(other);
    let mut receiver = again()?
        .args(["receive", "0"])
        .stdin(Stdio::from(other))
        .spawn()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd()];
    ensure!(
        control.push(SendAncillaryMessage::ScmRights(&descriptors)),
        "no room for the descriptor"
    );
    sendmsg(
        &own,
        &[IoSlice::new(b"f")],
        &mut control,
        SendFlags::empty(),
    )?;
    drop(file);
    // The receiver writes only now, when this process has closed its own.
    own.write_all(b"w")?;
    let status = receiver.wait()?;
    ensure!(status.success(), "the receiver: {status}");
    Ok(())
}

/// Second half of [`Ending::PassFd`]; the socket is the descriptor of that number.
pub(super) fn append_to_received(descriptor: &str) -> Result<()> {
    let socket = sys::inherited(descriptor.parse()?);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let file = received
        .next()
        .and_then(|mut descriptors| descriptors.next());
    let file = File::from(file.context("no descriptor was passed")?);
    (&socket).read_exact(&mut byte)?;
    Ok(append_late(&file)?)
}
