//! What a person does at the command line: tenants, plans, rehearsals, and the check of an installation.

pub mod doctor;
pub mod plan;
pub mod rehearse;
pub mod tenant;
