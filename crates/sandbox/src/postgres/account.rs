//! PostgreSQL refuses to run as root. When the sandbox is root (as in most containers), the server runs as another user, who
//! must be able to reach its files.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{PostgresError, io};

/// How a cluster in the temporary folder is named, and which file in it names the data folder that it belongs to.
const ELSEWHERE: &str = "interview-sandbox-postgres-";
const OWNER: &str = "data-folder";

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Who runs the server: `None` is ourselves.
pub(super) fn unprivileged() -> Result<Option<Account>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| account_of(&users, name)).map(Some).ok_or(PostgresError::NoAccount)
}

fn account_of(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

/// The folder for the cluster, owned by the account and reachable for it.
///
/// Folders that the sandbox makes are opened for passing through. A parent that
/// somebody else closed (such as `/root`) stays closed: then the cluster lives in the
/// system's temporary folder, under a name that is the same in the next run.
pub(super) fn home_for(wanted: &Path, account: Option<&Account>) -> Result<PathBuf, PostgresError> {
    let wanted = std::path::absolute(wanted).map_err(io("cannot resolve", wanted))?;
    let created = create_all(&wanted)?;
    let Some(account) = account else {
        close(&wanted)?;
        return Ok(wanted);
    };
    let own_data_dir = wanted.parent().map(Path::to_owned);
    for folder in created.iter().chain(own_data_dir.as_ref()) {
        open_for_passing(folder)?;
    }
    let home = if passable(&wanted, account) {
        wanted
    } else {
        let mut hasher = DefaultHasher::new();
        wanted.hash(&mut hasher);
        let elsewhere = std::env::temp_dir().join(format!("{ELSEWHERE}{:016x}", hasher.finish()));
        create_all(&elsewhere)?;
        let owner = elsewhere.join(OWNER);
        std::fs::write(&owner, wanted.as_os_str().as_encoded_bytes()).map_err(io("cannot write", &owner))?;
        elsewhere
    };
    std::os::unix::fs::chown(&home, Some(account.uid), Some(account.gid)).map_err(io("cannot change the owner of", &home))?;
    close(&home)?;
    Ok(home)
}

/// Removes the clusters in the temporary folder whose data folder is gone: nobody will start them again.
pub(super) fn sweep(temporary: &Path) {
    let entries = std::fs::read_dir(temporary).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(ELSEWHERE));
    for folder in ours.map(|entry| entry.path()) {
        let Ok(owner) = std::fs::read(folder.join(OWNER)) else { continue };
        let is_gone = !Path::new(std::ffi::OsStr::from_bytes(&owner)).exists();
        if is_gone && !super::is_served(&folder.join("cluster")) {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Like `create_dir_all`, and answers which folders are new.
fn create_all(path: &Path) -> Result<Vec<PathBuf>, PostgresError> {
    let mut missing: Vec<PathBuf> = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    std::fs::create_dir_all(path).map_err(io("cannot create", path))?;
    missing.retain(|folder| folder != path);
    Ok(missing)
}

fn open_for_passing(folder: &Path) -> Result<(), PostgresError> {
    let mode = std::fs::metadata(folder).map_err(io("cannot read", folder))?.mode();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o011)).map_err(io("cannot open", folder))
}

fn close(folder: &Path) -> Result<(), PostgresError> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(io("cannot protect", folder))
}

fn passable(path: &Path, account: &Account) -> bool {
    path.ancestors().skip(1).all(|folder| {
        std::fs::metadata(folder).is_ok_and(|metadata| {
            let needed = if metadata.uid() == account.uid {
                0o100
            } else if metadata.gid() == account.gid {
                0o010
            } else {
                0o001
            };
            metadata.mode() & needed != 0
        })
    })
}

/// A file that only its reader can read.
pub(super) fn write_private(path: &Path, content: &str, account: Option<&Account>) -> Result<(), PostgresError> {
    let _ = std::fs::remove_file(path);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("cannot write", path))?;
    file.write_all(content.as_bytes()).map_err(io("cannot write", path))?;
    if let Some(account) = account {
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)).map_err(io("cannot change the owner of", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_account_from_passwd_lines() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:9:9::/:\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        let account = account_of(users, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(account_of(users, "nobody").is_none());
    }

    #[test]
    fn only_clusters_whose_data_folder_is_gone_are_swept() {
        let temporary = tempfile::tempdir().unwrap();
        let cluster = |name: &str, owner: Option<&Path>| {
            let folder = temporary.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            if let Some(owner) = owner {
                std::fs::write(folder.join(OWNER), owner.as_os_str().as_encoded_bytes()).unwrap();
            }
            folder
        };
        let gone = cluster("interview-sandbox-postgres-1", Some(Path::new("/nowhere/at/all")));
        let kept = cluster("interview-sandbox-postgres-2", Some(temporary.path()));
        let unknown = cluster("interview-sandbox-postgres-3", None);
        let strangers = cluster("something-else", Some(Path::new("/nowhere/at/all")));
        sweep(temporary.path());
        assert_eq!([gone, kept, unknown, strangers].map(|folder| folder.exists()), [false, true, true, true]);
    }
}
