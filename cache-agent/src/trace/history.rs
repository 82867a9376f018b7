//! What earlier traces and the daemon remember, and what they will of this one.
//!
//! Takes: finished invocations. Gives: earlier ones of the same module. Never: fails a trace; what cannot be
//! remembered is told in one line.

use std::{path::Path, time::SystemTime};

use crate::{
    config::{self, Config},
    model::{
        compiled::{Compiled, Past as Before},
        invocation::{Finished, Invocation, Package},
    },
    store::{
        Settings, Store, StoreError,
        query::{self, EarlierFilter},
        record::Record,
        retain::Progress,
    },
    sys::clock::milliseconds,
};

/// Earlier invocations looked at.
const EARLIER: u32 = 32;
/// Steps of removing what is too old: a trace may be the only one that ever does it, but is waited for.
const RETAIN_STEPS: usize = 20;

/// The history, as far as there is one that may be used.
#[derive(Debug)]
pub struct Past {
    history: Option<(Store, Settings)>,
}

impl Past {
    /// Leaves the history alone.
    pub fn none() -> Self {
        Self { history: None }
    }

    /// Opens the history where the configuration of this host has it, or in another state directory.
    pub fn open(state_dir: Option<&Path>) -> Self {
        let mut settings = Settings::of(&configured());
        if let Some(directory) = state_dir {
            directory.clone_into(&mut settings.directory);
        }
        if !settings.enabled {
            return Self::none();
        }
        match Store::open_or_replace(&settings.directory) {
            Ok(opened) => Self {
                history: Some((opened.store, settings)),
            },
            Err(error) => {
                complain(&error);
                Self::none()
            }
        }
    }

    /// Earlier invocations of the same module (of the same directory, outside of modules) that wrote something,
    /// earliest first, with what they wrote, and who compiled what it compiled.
    pub fn before(&self, finished: &Finished) -> Before {
        let Some((store, _)) = &self.history else {
            return Before::default();
        };
        let Invocation {
            module,
            cwd,
            start_ms,
            ..
        } = &finished.record;
        let filter = EarlierFilter {
            module,
            cwd: module.is_empty().then_some(cwd),
            before_ms: *start_ms,
            limit: EARLIER,
        };
        let keys: Vec<_> = finished
            .compiled
            .iter()
            .flat_map(Compiled::wanted)
            .collect();
        query::past(store, &filter, &keys).unwrap_or_else(|error| {
            complain(&error);
            Before::default()
        })
    }

    /// Remembers what has finished.
    pub fn keep(self, finished: impl IntoIterator<Item = (Invocation, Vec<Package>)>) {
        let Some((mut store, settings)) = self.history else {
            return;
        };
        let records: Vec<Record> = finished
            .into_iter()
            .map(|(invocation, packages)| Record::Invocation(Box::new(invocation), packages))
            .collect();
        let kept = store
            .write(&records)
            .and_then(|()| retain(&mut store, &settings));
        if let Err(error) = kept {
            complain(&error);
        }
    }
}

fn retain(store: &mut Store, settings: &Settings) -> Result<(), StoreError> {
    let now_ms = milliseconds(SystemTime::now());
    for _ in 0..RETAIN_STEPS {
        if store.retain(settings, now_ms)? == Progress::Done {
            break;
        }
    }
    Ok(())
}

/// The host's configuration is the daemon's; one that is invalid is the daemon's to complain about.
fn configured() -> Config {
    config::load(None).unwrap_or_else(|error| {
        tracing::debug!(%error, "the configuration is not used");
        Config::default()
    })
}

fn complain(error: &StoreError) {
    if error.is_forbidden() {
        tracing::debug!(%error, "no history");
    } else {
        tracing::warn!(%error, "this trace has no history");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(id: &str, start_ms: i64, module: &str) -> (Invocation, Vec<Package>) {
        let invocation = Invocation {
            id: id.to_owned(),
            module: module.to_owned(),
            cwd: format!("/srv/{id}"),
            start_ms,
            exit_code: Some(0),
            ..Invocation::default()
        };
        let package = Package {
            path: "fmt".to_owned(),
            class: "compile".to_owned(),
            ..Package::default()
        };
        (invocation, vec![package])
    }

    fn alone(invocation: &Invocation) -> Finished {
        Finished {
            record: invocation.clone(),
            ..Finished::default()
        }
    }

    #[test]
    fn a_trace_knows_what_the_one_before_wrote() {
        let state = tempfile::tempdir().unwrap();
        let now = milliseconds(SystemTime::now());
        let open = || Past::open(Some(state.path()));
        open().keep([finished("one", now - 2, "m"), finished("two", now - 1, "")]);
        let ids = |invocation: &Invocation| -> Vec<String> {
            let found = open().before(&alone(invocation)).earlier.into_iter();
            found.map(|earlier| earlier.record.id).collect()
        };
        assert_eq!(ids(&finished("three", now, "m").0), ["one"]);
        assert_eq!(ids(&finished("two", now, "").0), ["two"]);
        assert!(ids(&finished("three", now, "").0).is_empty());
        assert!(ids(&finished("three", now - 2, "m").0).is_empty());
    }

    #[test]
    fn without_a_history_nothing_fails() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("file");
        std::fs::write(&file, "").unwrap();
        for past in [Past::none(), Past::open(Some(&file))] {
            let found = past.before(&alone(&finished("one", 1, "m").0));
            assert!(found.earlier.is_empty());
            past.keep([finished("one", 1, "m")]);
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"");
    }
}
