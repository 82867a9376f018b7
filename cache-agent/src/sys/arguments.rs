//! Values of the command line that several verbs take.

use std::path::{Component, PathBuf};

use clap::{
    ValueEnum,
    builder::{PathBufValueParser, TypedValueParser},
};

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Relative paths mean what they mean where the command is typed.
pub(crate) fn absolute_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let path = std::path::absolute(path)?;
        // Only the file system knows what `..` means behind a link.
        if path
            .components()
            .any(|component| component == Component::ParentDir)
        {
            path.canonicalize()
        } else {
            Ok(path)
        }
    })
}
