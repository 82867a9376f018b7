//! A program that keeps the cache in go's stead (GOCACHEPROG).

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    go::{Go, open_directory, toolchains},
    report::signed,
    workshop::{Workshop, bytes_of, the_one, whole, write},
};
use serde_json::Value;

use super::daemon::{told, watching};

/// Keeps what it is given in the directory that it is told.
const CACHER: &str = r#"package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
)

type request struct {
	ID       int64
	Command  string
	ActionID []byte
	OutputID []byte
	BodySize int64
}

type response struct {
	ID            int64
	Err           string   `json:",omitempty"`
	KnownCommands []string `json:",omitempty"`
	Miss          bool     `json:",omitempty"`
	OutputID      []byte   `json:",omitempty"`
	Size          int64    `json:",omitempty"`
	DiskPath      string   `json:",omitempty"`
}

func path(kind string, id []byte) string {
	return filepath.Join(os.Args[1], kind+hex.EncodeToString(id))
}

func put(request request, body []byte) (response, error) {
	kept := path("o", request.OutputID)
	draft := kept + ".draft"
	if err := os.WriteFile(draft, body, 0o666); err != nil {
		return response{}, err
	}
	if err := os.Rename(draft, kept); err != nil {
		return response{}, err
	}
	err := os.WriteFile(path("a", request.ActionID), request.OutputID, 0o666)
	return response{DiskPath: kept}, err
}

func get(request request) response {
	output, err := os.ReadFile(path("a", request.ActionID))
	if err != nil {
		return response{Miss: true}
	}
	kept := path("o", output)
	found, err := os.Stat(kept)
	if err != nil {
		return response{Miss: true}
	}
	return response{OutputID: output, Size: found.Size(), DiskPath: kept}
}

func main() {
	requests, responses := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	responses.Encode(response{KnownCommands: []string{"get", "put", "close"}})
	for {
		var request request
		if requests.Decode(&request) != nil {
			return
		}
		var answer response
		switch request.Command {
		case "get":
			answer = get(request)
		case "put":
			var body []byte
			if request.BodySize > 0 && requests.Decode(&body) != nil {
				return
			}
			var err error
			if answer, err = put(request, body); err != nil {
				answer.Err = err.Error()
			}
		}
		answer.ID = request.ID
		if responses.Encode(answer) != nil || request.Command == "close" {
			return
		}
	}
}
"#;

/// What such a program writes is the go command's that it serves.
#[test]
fn a_helper_that_keeps_the_cache_belongs_to_its_go() -> Result<()> {
    let shop = Workshop::new("helpers")?;
    let cacher = cacher(&shop)?;
    let module = shop.module("helped", 20)?;
    let kept = shop.place("kept");
    open_directory(&kept)?;
    let trace = shop.trace()?.root(kept.clone()).directory(&module);
    let program = format!("{cacher} {}", kept.display());
    let traced = trace
        .env("GOCACHEPROG", program)
        .run("go", ["build", "./..."])?;
    let report = traced.exact()?;
    whole(report)?;
    let build = the_one(report, &["go", "build", "./..."])?;
    ensure!(report.invocations.len() == 1, "{:#?}", report.invocations);
    let root = report.roots.iter().find(|root| root.path == kept);
    let bytes = signed(root.context("no such root")?.after_bytes);
    let mut helpers = report
        .processes
        .iter()
        .filter(|process| process.comm == "cacher");
    let helper = helpers.next().context("the helper wrote nothing")?;
    ensure!(
        helper.growth_bytes == bytes && bytes > 100_000 && helpers.next().is_none(),
        "{bytes} B kept: {:#?}",
        report.processes
    );
    let everything: i64 = report.roots.iter().map(|root| root.ledger_bytes).sum();
    ensure!(
        build.growth_bytes == everything,
        "{everything} B: {build:#?}"
    );
    let count = build.processes.get("cacher").map(|helper| helper.count);
    ensure!(count == Some(1), "{build:#?}");
    ensure!(
        (build.lookups, build.hits, build.misses) == (0, 0, 20),
        "{build:#?}"
    );
    let is_told = |line: &&str| line.contains("GOCACHEPROG: `cacher` keeps the cache");
    let told = traced.stderr.lines().filter(is_told).count();
    ensure!(
        told == 1 && report.elsewhere.is_empty(),
        "{}",
        traced.stderr
    );
    // All that the program was given for the packages, and the names under which it keeps it.
    let named = bytes_of(report, build, "helped");
    ensure!(
        named * 100 >= bytes * 99,
        "{named} of {bytes} B: {:#?}",
        report.packages
    );
    ensure!(
        build.cause.iter().any(|cause| cause.kind == "first_build"),
        "{build:#?}"
    );
    Ok(())
}

/// An old version of go knows nothing of such programs: its cache is its own.
#[test]
fn a_helper_that_go_does_not_ask_keeps_nothing() -> Result<()> {
    let mut shop = Workshop::new("unasked")?;
    let old = |go: &Go| {
        ["1.21", "1.22", "1.23"]
            .iter()
            .any(|old| go.version.starts_with(old))
    };
    let Some(go) = toolchains()?.into_iter().find(old) else {
        return Ok(());
    };
    shop.go = go;
    let module = shop.module("unasked", 3)?;
    let trace = shop.trace()?.directory(&module);
    let traced = trace
        .env("GOCACHEPROG", "cacher")
        .run("go", ["build", "./..."])?;
    let report = traced.exact()?;
    let build = the_one(report, &["go", "build", "./..."])?;
    ensure!((build.lookups, build.misses) == (3, 3), "{build:#?}");
    ensure!(!traced.stderr.contains("GOCACHEPROG"), "{}", traced.stderr);
    Ok(())
}

/// The daemon tells it too, whether or not it watches what the program keeps.
#[test]
fn the_daemon_tells_of_a_helper() -> Result<()> {
    let shop = Workshop::new("serves")?;
    let cacher = cacher(&shop)?;
    let module = shop.module("serves", 4)?;
    let kept = shop.place("kept");
    open_directory(&kept)?;
    let (daemon, state) = watching(&shop)?;
    let mut build = shop.go(&module, &shop.bench.root());
    let program = format!("{cacher} {}", kept.display());
    let status = build
        .env("GOCACHEPROG", program)
        .args(["build", "./..."])
        .status()?;
    ensure!(status.success(), "go build: {status}");
    let record = told(&daemon, &state, "example.com/serves")?;
    ensure!(
        record["lookups"] == 0 && record["misses"] == 4,
        "{record:#}"
    );
    let causes = record["cause"].as_array().context("no causes")?;
    let detail = "GOCACHEPROG: `cacher` keeps the cache; hits cannot be known";
    let is_told = |cause: &Value| cause["kind"] == "cache_program" && cause["detail"] == detail;
    ensure!(causes.iter().any(is_told), "{record:#}");
    Ok(())
}

/// The program, built aside.
fn cacher(shop: &Workshop) -> Result<String> {
    let source = shop.place("src").join("cacher");
    open_directory(&source)?;
    write(
        &source.join("go.mod"),
        "module example.com/cacher\n\ngo 1.21\n",
    )?;
    write(&source.join("main.go"), CACHER)?;
    let program = shop.place("cacher");
    let status = shop
        .go(&source, &shop.place("aside"))
        .args(["build", "-o"])
        .arg(&program)
        .env("CGO_ENABLED", "0")
        .status()?;
    ensure!(status.success(), "go build: {status}");
    Ok(program.display().to_string())
}
