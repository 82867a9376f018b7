//! Those who watch a build, the agent among them: how each is started, what it used, what it says.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{audit, bpftrace, du, notify};
use crate::{
    agent::{Agent, whole},
    workload::Workload,
};

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Observer {
    Nothing,
    Agent,
    Bpftrace,
    Inotifywait,
    Fatrace,
    Auditd,
    Du,
}

/// What an observer used until now.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
    pub(super) cpu_s: f64,
    /// At its peak; nothing where it is a new process each time.
    pub(super) max_rss_bytes: Option<u64>,
}

/// What an observer says in the end.
#[derive(Debug, Serialize)]
pub(super) struct Claim {
    /// By how much the cache grew; nothing where it tells no bytes.
    pub(super) bytes: Option<u64>,
    /// Events it says it lost; nothing where it cannot tell.
    pub(super) lost: Option<u64>,
}

/// An observer at work. Dropped, it ends and undoes what it did to the machine.
pub(super) trait Watch {
    fn usage(&mut self) -> Result<Usage>;
    /// The process that holds its BPF programs, where it has any.
    fn bpf_pid(&self) -> Option<u32> {
        None
    }
    fn stop(self: Box<Self>, cache: &Path) -> Result<Claim>;
}

impl Observer {
    /// In the order in which people read them.
    pub(super) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Agent,
        Self::Bpftrace,
        Self::Inotifywait,
        Self::Fatrace,
        Self::Auditd,
        Self::Du,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Agent => "cache-agent",
            Self::Bpftrace => "bpftrace",
            Self::Inotifywait => "inotifywait -r -m",
            Self::Fatrace => "fatrace",
            Self::Auditd => "auditd, dir=",
            Self::Du => "du every 10 s",
        }
    }

    /// Told of each change, rather than looking now and then.
    pub(super) fn is_event_based(self) -> bool {
        !matches!(self, Self::Nothing | Self::Du)
    }

    /// Ready to see the next change of the cache. The error says why it cannot watch here.
    pub(super) fn start(self, agent: &Path, workload: &Workload) -> Result<Box<dyn Watch>> {
        Ok(match self {
            Self::Nothing => Box::new(Nobody),
            Self::Agent => Box::new(Agent::start(agent, workload)?),
            Self::Bpftrace => Box::new(bpftrace::start(workload)?),
            Self::Inotifywait => Box::new(notify::start_inotifywait(workload)?),
            Self::Fatrace => Box::new(notify::start_fatrace(workload)?),
            Self::Auditd => Box::new(audit::start(workload)?),
            Self::Du => Box::new(du::start(workload)?),
        })
    }
}

struct Nobody;

impl Watch for Nobody {
    fn usage(&mut self) -> Result<Usage> {
        Ok(Usage {
            cpu_s: 0.0,
            max_rss_bytes: None,
        })
    }

    fn stop(self: Box<Self>, _cache: &Path) -> Result<Claim> {
        Ok(Claim {
            bytes: None,
            lost: None,
        })
    }
}

impl Watch for Agent {
    fn usage(&mut self) -> Result<Usage> {
        let figures = self.figures()?;
        Ok(Usage {
            cpu_s: figures.cpu_s,
            max_rss_bytes: Some(figures.max_rss_bytes),
        })
    }

    fn bpf_pid(&self) -> Option<u32> {
        Some(self.pid())
    }

    fn stop(self: Box<Self>, _cache: &Path) -> Result<Claim> {
        let (claim, lost) = (self.claim()?, self.figures()?.dropped);
        Agent::stop(*self)?;
        Ok(Claim {
            bytes: Some(claim.bytes),
            lost: Some(whole(lost)),
        })
    }
}
