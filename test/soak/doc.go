// Package soak proves that an acknowledged message is never lost. Its tests
// run whole servers under load, note what each reply promised, and then kill,
// cut the power, fail the disk or fill it, and compare.
//
// Each proof has a short version, which is part of every test run, and a full
// one with the figures of docs/reliability.md, which `make soak` runs: SOAK
// names the proofs to run in full, separated by commas, or is "all". What is
// random comes from a seed that a failure prints; SOAK_SEED sets it.
//
// Most need Linux, and some root, as they mount file systems and trace the
// server: others than root run the rest.
package soak
