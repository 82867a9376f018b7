//! Facts of the CI job that a process belongs to, from the well-known variables of each system.

mod systems;

use std::collections::BTreeMap;

use self::systems::{SYSTEMS, System};
use crate::{go::variables::Variables, model::mask};

/// `system`, `job`, `leg`, `pipeline`, `repository`, `branch`, as far as the variables tell; nothing outside of CI.
pub fn facts(variables: &Variables) -> BTreeMap<String, String> {
    let Some(system) = SYSTEMS.iter().find(|system| is_run_by(system, variables)) else {
        return BTreeMap::new();
    };
    let named = [
        ("job", system.job),
        ("pipeline", system.pipeline),
        ("repository", system.repository),
        ("branch", system.branch),
    ];
    let told = named.into_iter().filter_map(|(fact, names)| {
        let value = names.iter().find_map(|name| value(name, variables))?;
        Some((fact, value))
    });
    let mut facts: BTreeMap<&str, String> = told.collect();
    facts.extend(leg(system, variables).map(|leg| ("leg", leg)));
    // CodeBuild's id begins with its project, Tekton's pods end with a word of their own.
    if let Some(job) = facts.get_mut("job") {
        let part = match system.name {
            "codebuild" => job.split(':').next(),
            "tekton" => job.strip_suffix("-pod"),
            _ => None,
        };
        *job = part.unwrap_or(job).to_owned();
    }
    facts.insert("system", system.name.to_owned());
    let facts = facts.into_iter();
    facts
        .map(|(fact, value)| (fact.to_owned(), mask::text(&value)))
        .collect()
}

fn is_run_by(system: &System, variables: &Variables) -> bool {
    system.signs.iter().any(|(name, wanted)| {
        let value = variables.get(name);
        value.is_some_and(|value| wanted.is_empty() || value == wanted)
    })
}

/// The value of a variable, or those of several with a slash between them.
fn value(names: &str, variables: &Variables) -> Option<String> {
    let values = names.split('/').map(|name| variables.get(name).cloned());
    values
        .collect::<Option<Vec<_>>>()
        .map(|values| values.join("/"))
}

/// Which of several jobs of one name it is: one alone has a number too, which tells nothing.
fn leg(system: &System, variables: &Variables) -> Option<String> {
    system.leg.iter().find_map(|(index, total)| {
        let is_alone = variables.get(total).is_some_and(|total| total == "1");
        variables.get(index).filter(|_| !is_alone).cloned()
    })
}

/// `TRACEPARENT` if it is valid (W3C Trace Context: version, trace id, parent id, flags), else nothing.
pub fn traceparent(variables: &Variables) -> String {
    let Some(value) = variables.get("TRACEPARENT") else {
        return String::new();
    };
    let fields: Vec<&str> = value.split('-').collect();
    let is_hex = |field: &str| {
        field
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
    let is_valid = lengths == [2, 32, 16, 2]
        && fields.iter().all(|field| is_hex(field))
        && fields.first() != Some(&"ff")
        && fields
            .iter()
            .skip(1)
            .take(2)
            .all(|id| id.bytes().any(|byte| byte != b'0'));
    if is_valid {
        value.clone()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
