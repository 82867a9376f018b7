//! What a metric is called: each subject spells its own names, and nobody else does.
//!
//! Help texts are the reference documentation: they say what is counted, and since when.

use prometheus::proto::MetricType;

/// One metric.
#[derive(Debug)]
pub(crate) struct Definition {
    /// As exported.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// How it behaves.
    pub kind: MetricType,
}

macro_rules! names {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)+) => {
        $(
            #[doc = $help]
            pub(crate) const $constant: $crate::serve::metrics::names::Definition =
                $crate::serve::metrics::names::Definition {
                    name: $name,
                    help: $help,
                    kind: ::prometheus::proto::MetricType::$kind,
                };
        )+

        /// All of this subject, in the order in which they are exported.
        #[cfg(test)]
        pub(super) const ALL: &[&$crate::serve::metrics::names::Definition] = &[$(&$constant),+];
    };
}

pub(super) use names;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{
        super::{agent, invocations, limits, roots},
        *,
    };

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = HashSet::new();
        for Definition { name, help, kind } in
            [roots::ALL, invocations::ALL, limits::ALL, agent::ALL].concat()
        {
            assert!(seen.insert(name), "{name} twice");
            assert!(
                name.starts_with("go_cache_") && help.ends_with('.'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                *kind == MetricType::COUNTER,
                "{name}"
            );
        }
    }
}
