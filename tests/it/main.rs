//! One integration binary; a file for each subject.

mod architecture;
mod boot;
mod faults;
mod gateway;
mod interview;
mod signaling;
mod support;
