"""The main job: demo, run, recalibration."""
