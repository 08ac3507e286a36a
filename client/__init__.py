"""The other side of the protocol: voter, trustee and organiser as a library. It imports no server code."""
