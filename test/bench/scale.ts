/** How much a run of the bench does: `"quick"` says within a minute that everything runs, and roughly how it stands. */
export type Scale = "quick" | "full"
