//! No file of `src` imports, through others, itself. A module and its own submodules count as one: they share `super`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn there_is_no_import_circle_in_src() {
    let graph = imports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 300, "the imports were not read");
    let circles = circles(&graph);
    assert!(circles.is_empty(), "files that import each other: {circles:#?}");
}

#[test]
fn a_circle_is_found() {
    let file = |imports: &[&str]| imports.iter().map(|name| (*name).to_owned()).collect();
    let graph: Graph = [("a", file(&["b"])), ("b", file(&["c", "d"])), ("c", file(&["a"])), ("d", file(&[]))]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
    assert_eq!(circles(&graph), [["a", "b", "c"].map(str::to_owned)]);
}

/// Who imports whom, by the names of the modules that have a file.
fn imports(root: &Path) -> Graph {
    let mut files = Vec::new();
    sources(root, &mut files);
    let modules: BTreeMap<String, String> = files.iter().filter_map(|file| Some((module(root, file)?, code(file)))).collect();
    let resolve = |path: &str| {
        let mut path = path;
        loop {
            if modules.contains_key(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let of = |name: &String, code: &String| {
        let all = absolute(code).into_iter().chain(relative(name, code));
        let one_module = |other: &str| other.starts_with(&format!("{name}::")) || name.starts_with(&format!("{other}::"));
        all.filter_map(|path| resolve(&path)).filter(|other| other != name && !one_module(other)).collect()
    };
    modules.iter().map(|(name, code)| (name.clone(), of(name, code))).collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { sources(&path, into) } else { into.push(path) }
    }
}

/// None: a binary, or tests.
fn module(root: &Path, file: &Path) -> Option<String> {
    let name = file.strip_prefix(root).ok()?.to_str()?.strip_suffix(".rs")?.replace('/', "::");
    let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
    (!["main", "lib"].contains(&name.as_str()) && !name.ends_with("tests")).then_some(name)
}

fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("readable source");
    let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
    shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// `crate::a::b`, and each name of `crate::a::{b, c}`.
fn absolute(code: &str) -> Vec<String> {
    let after = |at: usize| &code[at + "crate::".len()..];
    code.match_indices("crate::").flat_map(|(at, _)| paths(after(at))).collect()
}

/// `super::b` and `super::{b, c}`, as often `super` as it stands there.
fn relative(name: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let (mut rest, mut base) = (&code[at..], Some(name));
        while let Some(further) = rest.strip_prefix("super::") {
            rest = further;
            base = base.map(|base| base.rsplit_once("::").map_or("", |(parent, _)| parent));
        }
        let base = base.unwrap_or_default();
        found.extend(paths(rest).into_iter().map(|path| if base.is_empty() { path } else { format!("{base}::{path}") }));
    }
    found
}

fn paths(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let (path, rest) = (text[..end].trim_end_matches(':'), &text[end..]);
    let Some(group) = rest.strip_prefix('{') else { return vec![path.to_owned()] };
    let group = group.split('}').next().unwrap_or_default();
    let names = group.split(',').filter_map(|name| name.split_whitespace().next());
    names.map(|name| if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }).collect()
}

/// Modules that reach each other: of each circle all of its members, sorted.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: Graph = graph.keys().map(|from| (from.clone(), reach(graph, from))).collect();
    let circle = |from: &String| -> Vec<String> {
        reached[from].iter().filter(|to| reached.get(*to).is_some_and(|back| back.contains(from))).cloned().collect()
    };
    graph.keys().map(circle).filter(|circle| !circle.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn reach(graph: &Graph, from: &str) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        for to in graph.get(name).into_iter().flatten() {
            if seen.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    seen
}
