"""The admission server (not written yet); it decides by the rules of ``sharedvip`` alone."""
