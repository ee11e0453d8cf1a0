//! One integration binary; a file for each subject.

mod architecture;
mod autobahn;
mod boot;
mod bounds;
mod faults;
mod gateway;
mod interview;
mod keeper;
mod line;
mod otp;
mod provider;
mod signaling;
mod support;
mod takes;
