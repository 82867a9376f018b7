//! `go install` and `go run` of a package at a version are of its module, wherever they are started.

use std::path::Path;

use anyhow::{Result, ensure};
use cache_tests::{
    agent::Trace,
    go::open_directory,
    report::Invocation,
    workshop::{Workshop, the_one, whole, write},
};

/// A version of example.com/Tool in the module cache, as a download leaves it.
fn download(shop: &Workshop, version: &str) -> Result<()> {
    let go_mod = "module example.com/Tool\n\ngo 1.21\n";
    let list = shop.place("mod/cache/download/example.com/!tool/@v");
    open_directory(&list)?;
    write(&list.join("list"), &format!("{version}\n"))?;
    write(&list.join(format!("{version}.mod")), go_mod)?;
    // Nobody has a sum to compare it with.
    let hash = format!("h1:{}=", "A".repeat(43));
    write(&list.join(format!("{version}.ziphash")), &hash)?;
    let info = format!("{{\"Version\":\"{version}\",\"Time\":\"2026-01-02T03:04:05Z\"}}");
    write(&list.join(format!("{version}.info")), &info)?;
    let tree = shop.place(&format!("mod/example.com/!tool@{version}"));
    for place in ["big", "cmd/x"] {
        open_directory(&tree.join(place))?;
    }
    write(&tree.join("go.mod"), go_mod)?;
    write(
        &tree.join("big/big.go"),
        "package big\n\nfunc F() string { return \"big\" }\n",
    )?;
    let main =
        "package main\n\nimport \"example.com/Tool/big\"\n\nfunc main() { println(big.F()) }\n";
    write(&tree.join("main.go"), main)?;
    write(&tree.join("cmd/x/main.go"), main)
}

/// A trace in that directory, with a proxy that has what was downloaded.
fn trace(shop: &Workshop, directory: &Path) -> Result<Trace> {
    let proxy = format!("file://{}", shop.place("mod/cache/download").display());
    let trace = shop.trace()?.directory(directory);
    let trace = trace.env("GOPROXY", proxy).env("GOSUMDB", "off");
    Ok(trace.env("GOPATH", shop.place("path")))
}

/// The one go command of a trace, of which nothing is left over.
fn run(shop: &Workshop, directory: &Path, words: &[&str]) -> Result<Invocation> {
    let traced = trace(shop, directory)?.run("go", words)?;
    let report = traced.exact()?;
    ensure!(traced.code() == 0, "{words:?} ended with {}", traced.code());
    whole(report)?;
    Ok(the_one(report, words)?.clone())
}

/// Its causes, but for the indexes of new directories.
fn causes(invocation: &Invocation) -> String {
    let causes = invocation.cause.iter();
    let causes = causes.filter(|cause| cause.kind != "index");
    let told = causes.map(|cause| format!("{}: {}", cause.kind, cause.detail));
    told.collect::<Vec<_>>().join("; ")
}

/// The tool is installed and run from another module's directory: what was compiled tells its module, then what
/// the module cache has. Nothing of it can have been edited.
#[test]
fn a_pinned_tool_is_of_its_own_module() -> Result<()> {
    let shop = Workshop::new("pinned")?;
    let module = shop.module("shop", 1)?;
    download(&shop, "v1.0.0")?;
    let first = run(&shop, &module, &["install", "example.com/Tool@v1.0.0"])?;
    let told = causes(&first);
    ensure!(
        told.starts_with("first_build: of example.com/Tool in this cache"),
        "{told}"
    );
    let kept = run(&shop, &module, &["run", "example.com/Tool@v1.0.0"])?;
    ensure!(
        causes(&kept) == "executable_kept: example.com/Tool",
        "{kept:#?}"
    );
    let warm = run(&shop, &module, &["run", "example.com/Tool@v1.0.0"])?;
    ensure!(warm.growth_bytes == 0 && warm.cause.is_empty(), "{warm:#?}");
    let words = ["install", "example.com/Tool/cmd/x@v1.0.0"];
    let inner = run(&shop, &shop.place("src"), &words)?;
    for invocation in [&first, &kept, &warm, &inner] {
        ensure!(invocation.module == "example.com/Tool", "{invocation:#?}");
    }
    download(&shop, "v1.1.0")?;
    let newer = run(&shop, &module, &["install", "example.com/Tool@v1.1.0"])?;
    let told = causes(&newer);
    ensure!(
        told.starts_with("dependency: example.com/Tool@v1.1.0: "),
        "{told}"
    );
    Ok(())
}

/// Where nothing tells the module the package stands for it; a plain `go install` is of the directory's.
#[test]
fn what_cannot_be_found_is_told_as_given() -> Result<()> {
    let shop = Workshop::new("unpinned")?;
    let module = shop.module("shop", 1)?;
    let traced = trace(&shop, &module)?.run("go", ["run", "example.com/nothing@v1.0.0"])?;
    let failed = the_one(traced.report()?, &["run", "example.com/nothing@v1.0.0"])?;
    ensure!(failed.module == "example.com/nothing@v1.0.0", "{failed:#?}");
    let plain = run(&shop, &module, &["install", "./..."])?;
    ensure!(plain.module == "example.com/shop", "{plain:#?}");
    Ok(())
}
