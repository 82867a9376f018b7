//! `configuration.md`: the keys from the commented sample, which is the one text about each of them, and
//! the options of `run`.

use std::{collections::BTreeSet, path::Path};

use super::{check, code, options, table};
use crate::config::{self, checked::Config, error::ConfigError};

const SAMPLE: &str = include_str!("../../dist/cache-agent.toml");

/// A table of the sample and its keys; the first one is the top level.
struct Section<'a> {
    /// As in the file: `[history]`, `[[root]]`.
    header: &'a str,
    about: String,
    keys: Vec<Key<'a>>,
}

struct Key<'a> {
    name: &'a str,
    value: &'a str,
    meaning: String,
}

#[test]
fn configuration_is_documented() {
    let keys: String = sections(SAMPLE).iter().map(described).collect();
    let parts = [("options", options("run")), ("keys", keys)];
    check("configuration.md", &parts);
}

#[test]
fn every_key_is_in_the_sample() {
    let sections = sections(SAMPLE);
    for section in &sections {
        let text = format!("{}\nno_such_key = 1\n", section.header);
        let Err(ConfigError::UnknownKey(error)) = config::parse(&text, Path::new("f")) else {
            panic!("{text}")
        };
        let allowed: BTreeSet<&str> = error.allowed.iter().map(String::as_str).collect();
        let tables = sections.iter().map(|section| section.header);
        let tables = tables
            .map(|header| header.trim_matches(['[', ']']))
            .filter(|name| section.header.is_empty() && !name.is_empty());
        let documented = section.keys.iter().map(|key| key.name).chain(tables);
        assert_eq!(
            documented.collect::<BTreeSet<_>>(),
            allowed,
            "{}",
            section.header
        );
    }
}

/// The paragraph right above a key or a table is about it.
fn sections(sample: &str) -> Vec<Section<'_>> {
    let section = |header, about| Section {
        header,
        about,
        keys: Vec::new(),
    };
    let mut sections = vec![section("", String::new())];
    let mut paragraph = Vec::new();
    for line in sample.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            paragraph.push(text);
            continue;
        }
        let about = std::mem::take(&mut paragraph).join(" ");
        let setting = line.strip_prefix('#').unwrap_or(line);
        if setting.starts_with('[') {
            sections.push(section(setting, about));
        } else if let (Some((name, value)), Some(last)) =
            (setting.split_once(" = "), sections.last_mut())
        {
            assert!(!about.is_empty(), "nothing is said about {name}");
            last.keys.push(Key {
                name,
                value,
                meaning: about,
            });
        }
    }
    sections
}

fn described(section: &Section<'_>) -> String {
    let Section {
        header,
        about,
        keys,
    } = section;
    let rows = keys.iter().map(|key| row(header, key));
    let table = table(["Key", "Default", "Meaning"], rows);
    if header.is_empty() {
        return table;
    }
    format!("\n### `{header}`\n\n{about}\n\n{table}")
}

fn row(header: &str, key: &Key<'_>) -> [String; 3] {
    let Key {
        name,
        value,
        meaning,
    } = key;
    let alone = format!("{header}\n{name} = {value}\n");
    let is_default = config::parse(&alone, Path::new("f")).is_ok_and(|it| it == Config::default());
    let (default, meaning) = if is_default {
        (code(value), meaning.clone())
    } else {
        ("-".to_owned(), format!("{meaning} Example: `{value}`."))
    };
    [code(name), default, meaning]
}
