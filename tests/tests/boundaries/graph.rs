//! Who depends on whom, as cargo says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::source::root;

/// A package of the workspace.
pub struct Package {
    pub name: String,
    /// Its Cargo.toml, from the workspace's folder.
    pub manifest: String,
    pub dependencies: Vec<Dependency>,
}

/// A line of `[dependencies]`, `[build-dependencies]` or `[dev-dependencies]`.
pub struct Dependency {
    pub name: String,
    pub dev: bool,
}

/// The workspace's packages with the dependencies that they declare.
pub fn packages() -> Vec<Package> {
    let json = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&json).expect("cargo metadata writes JSON");
    let text = |value: &Value| value.as_str().expect("a string in cargo's metadata").to_owned();
    let list = |value: &Value| value.as_array().expect("a list in cargo's metadata").clone();
    let root = text(&metadata["workspace_root"]);
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            Package {
                name: text(&package["name"]),
                manifest: Path::new(&manifest).strip_prefix(&root).expect("inside the workspace").display().to_string(),
                dependencies: list(&package["dependencies"])
                    .iter()
                    .map(|dependency| Dependency {
                        name: text(&dependency["name"]),
                        dev: dependency["kind"].as_str() == Some("dev"),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// The names of all packages that go into a package on this platform, itself included.
pub fn closure(package: &str, all_features: bool) -> Vec<String> {
    let mut arguments = vec!["tree", "-p", package, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    if all_features {
        arguments.push("--all-features");
    }
    let mut names: Vec<String> =
        cargo(&arguments).lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The line of a manifest that names a dependency.
pub fn line_of(manifest: &str, dependency: &str) -> usize {
    let text = fs::read_to_string(root().join(manifest)).unwrap_or_default();
    text.lines()
        .position(|line| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '='])))
        .map_or(1, |index| index + 1)
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}
