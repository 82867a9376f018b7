//! Links of the documents to each other: every one leads to a file, and to a heading of it.

use std::{fs, path::Path};

use super::docs;

#[test]
fn links_lead_somewhere() {
    let pages = fs::read_dir(docs())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = pages.chain([docs().join("../../README.md")]);
    let mut links = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|it| it == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            assert!(leads(&page, &text, target), "{}: {target}", page.display());
            links += 1;
        }
    }
    assert!(links > 0);
}

/// Those of them that lead into the project.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1);
    let targets = ends.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://"))
}

fn leads(page: &Path, text: &str, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let other = page.parent().unwrap().join(file);
    let text = match (file, heading) {
        (_, "") => return other.exists(),
        ("", _) => text.to_owned(),
        _ => fs::read_to_string(other).unwrap_or_default(),
    };
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(anchor).any(|anchor| anchor == heading)
}

/// As the hosts of repositories make it from a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim();
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter
            .is_alphanumeric()
            .then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}

#[test]
fn headings_have_anchors() {
    for (heading, expected) in [
        (" JSON document, version 1", "json-document-version-1"),
        ("# `--events`", "--events"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
    let page = Path::new("/none/page.md");
    assert!(leads(page, "# A b\n", "#a-b"));
    assert!(!leads(page, "# A b\n", "#a-c"));
    assert!(!leads(page, "", "other.md"));
}
