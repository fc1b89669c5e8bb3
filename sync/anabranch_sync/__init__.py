"""The core of anabranch: values in, values out.

No module here opens a file or a socket, reads a clock, draws a random number, logs or awaits: time
and chance arrive as arguments. The edge, the hub and the simulator all drive this same code, so a
failure of either can be replayed from a seed.

Where to find what, in the order in which it is best read; docs/glossary.md has the words::

    words               errors ids clock value path later
    a document          register document policy demands priority
                        leaf leaf_edits leaf_text leaf_decoder leaf_ancestry leaf_merging
    a merge             change merge merge_shapes conflict collection
    what is valid       live validity rules phrases violation
    the past            version reference comparison matching
    told to people      case explanation incident lateness
    who has what        scope digest epochs acknowledgement
    where it stands     standing opening circumstances budget
    the outbox          outbox absorbing reoffer
    what it lacks       pull plan snapshot
    bytes               packing tables columns writes changed revision push_body pull_body notice_body
    a stream            frame messages stream context transfer pacing
    an exchange         edge_session edge_effects hub_session hub_effects greeting wiping backoff
                        seeing offering repairing asking answering
    without a stream    check_in parcel courier
    the log             merkle signed_note checkpoint witness audit_event audit_file tlog_proof
"""
