using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using Microsoft.Extensions.Logging;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// Compares what the receiver holds with what the queue knows (rule 12), at every connect and while idle. What does not fit together stops
/// delivery until the operator chooses, or only raises an alarm where nothing can be lost by going on. Lives as long as its destination;
/// thread-safe.
/// </summary>
internal sealed class ReceiverCheck(string channelId, DestinationConfig config, ILogger log)
{
    /// <summary>The receiver does not hold what it had confirmed.</summary>
    public const string Behind = "receiver_behind";

    /// <summary>What waits belongs to a life that the receiver takes no more of.</summary>
    public const string Closed = "life_closed";

    /// <summary>The receiver knows more of this queue than the queue itself.</summary>
    public const string Restored = "restored";

    /// <summary>The receiver has had the message before.</summary>
    public const string Loop = "loop";

    private readonly Lock _lock = new();
    private (string Code, string Sentence)? _stop;
    private string? _loop;
    private ResumeChoice? _choice;
    private bool _renames;
    private bool _setsAside;
    private MessageIdentity _acceptedHead;
    private MessageIdentity _head;
    private long _oneByOneThrough;

    /// <summary>Messages go one by one: one of them was refused, or is kept aside by the operator's choice.</summary>
    public bool IsOneByOne
    {
        get
        {
            lock (_lock) return _oneByOneThrough > 0 || _setsAside;
        }
    }

    /// <summary>Conditions that stand, with one sentence each.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Alerts(ISenderQueue queue)
    {
        var alarm = queue.Receiver.Alarm;
        lock (_lock)
        {
            var alerts = new List<KeyValuePair<string, string>>();
            if (_stop is { } stop) alerts.Add(new(stop.Code, stop.Sentence));
            if (_loop is not null) alerts.Add(new(Loop, _loop));
            if (alarm is not null) alerts.Add(new(Restored, alarm));
            return alerts;
        }
    }

    /// <summary>The operator's answer to an alarm: carried out at the next connect, with the marks as they are then.</summary>
    public ResumeOutcome Resume(ResumeChoice choice, ISenderQueue queue)
    {
        lock (_lock)
        {
            if (_stop is { } stop)
            {
                _choice = choice;
                _setsAside = choice == ResumeChoice.AcceptLoss && stop.Code == Closed;
                return new ResumeOutcome(true, $"The choice is noted; {channelId} asks its receiver again now.");
            }

            if (queue.Receiver.Alarm is null) return new ResumeOutcome(false, $"{channelId} waits for no choice: \"status\" shows no alarm of its receiver.");
            if (choice == ResumeChoice.Resend)
                return new ResumeOutcome(false, $"{channelId} has nothing to send again: its alarm is ended with --accept-loss.");
            _acceptedHead = _head;
            var note = queue.Receiver;
            queue.NoteReceiver(note with { Alarm = null, LastDelivered = _head.IsNone ? note.LastDelivered : _head });
            return new ResumeOutcome(true, $"The alarm of {channelId} is ended; delivery has gone on all the time.");
        }
    }

    /// <summary>Compares the receiver's marks with the queue; notes the receiver's name, and carries out the operator's choice.</summary>
    /// <param name="confirmed">The newest message confirmed on this link, newer than what the store knows; none where nothing was.</param>
    /// <returns>Why delivery must not go on, or null.</returns>
    public string? Compare(ISenderQueue queue, RemoteReply marks, MessageIdentity confirmed)
    {
        lock (_lock)
        {
            var held = new HeldMarks(marks.Marks, 0);
            _head = held.Head;
            if (queue.Receiver.Name != marks.Receiver) confirmed = MessageIdentity.None;
            var note = NoteName(queue, marks.Receiver!);
            if (_choice is { } choice) note = CarryOut(choice, queue, note);
            else if (Forgotten(held, confirmed.IsNone ? note.LastDelivered : confirmed) is { } forgotten) return Stop(Behind, forgotten);
            if (_stop?.Code == Behind) EndStop();
            if (note.Alarm is null && Unknown(queue, held, note.LastDelivered) is { } unknown)
            {
                Log.ReceiverAlarm(log, channelId, Restored, unknown);
                queue.NoteReceiver(note with { Alarm = unknown });
            }

            return null;
        }
    }

    /// <summary>Looks at the first message of a link: the receiver must be able to take it.</summary>
    /// <returns>Why delivery must not go on, or null.</returns>
    public string? CheckFirst(ISenderQueue queue, HeldMarks held, long sequence)
    {
        lock (_lock)
        {
            if (_renames) queue.BeginLifeAt(sequence);
            _renames = false;
            var life = queue.LifeOf(sequence, out _);
            if (!IsClosed(held, life, sequence))
            {
                if (_stop?.Code == Closed) EndStop();
                return null;
            }

            return Stop(Closed, $"{Receiver(queue)} takes no more of the life {life:x16}, to which message {sequence} belongs, and it holds that life "
                + $"up to {held.MarkOf(life)} only: this gateway was put back to a backup. {Ways("keeps aside what waits of it", "sends it as new")}");
        }
    }

    /// <summary>The operator chose to keep this message aside.</summary>
    public bool IsSetAside(ISenderQueue queue, HeldMarks held, long sequence)
    {
        lock (_lock)
        {
            if (!_setsAside || IsClosed(held, queue.LifeOf(sequence, out _), sequence)) return _setsAside;
            _setsAside = false;
            if (_stop?.Code == Closed) EndStop();
            return false;
        }
    }

    /// <summary>One of the messages up to this one was refused: they go one by one, so that it is known which.</summary>
    public void GoOneByOne(long through)
    {
        lock (_lock) _oneByOneThrough = Math.Max(through, 1);
    }

    /// <summary>A message was taken. True: messages went one by one for the sake of one that is passed.</summary>
    public bool Taken(long sequence)
    {
        lock (_lock)
        {
            _loop = null;
            if (_setsAside || sequence < _oneByOneThrough) return false;
            _oneByOneThrough = 0;
            return true;
        }
    }

    public void FoundLoop(string sentence)
    {
        lock (_lock)
        {
            if (_loop is null) Log.ReceiverAlarm(log, channelId, Loop, sentence);
            _loop = sentence;
        }
    }

    private static bool IsClosed(HeldMarks held, long life, long sequence) =>
        held.Head.Life != life && held.MarkOf(life) is { } mark && sequence > mark;

    private ReceiverNote NoteName(ISenderQueue queue, string receiver)
    {
        var note = queue.Receiver;
        if (note.Name == receiver) return note;
        if (note.Name.Length > 0) Log.ReceiverChanged(log, channelId, note.Name, receiver);
        note = note with { Name = receiver, LastDelivered = MessageIdentity.None };
        queue.NoteReceiver(note);
        return note;
    }

    /// <summary>The receiver's marks, as they are, are what was delivered: from there delivery goes on.</summary>
    private ReceiverNote CarryOut(ResumeChoice choice, ISenderQueue queue, ReceiverNote note)
    {
        Log.ReceiverAlarmAnswered(log, channelId, choice == ResumeChoice.Resend ? "--resend" : "--accept-loss");
        note = note with { LastDelivered = _head, Alarm = null };
        queue.NoteReceiver(note);
        _acceptedHead = _head;
        _renames = choice == ResumeChoice.Resend;
        _choice = null;
        return note;
    }

    private string? Forgotten(HeldMarks held, MessageIdentity delivered)
    {
        if (delivered.IsNone) return null;
        var mark = held.MarkOf(delivered.Life);
        // Of the lives before the last 64 nothing is known: those that are there came behind it.
        if (mark >= delivered.Sequence || (mark is null && held.Lives.Count == HeldMarks.LivesKept)) return null;
        var holds = mark is null ? "nothing" : $"messages up to {mark}";
        return $"The receiver has forgotten what it had confirmed: message {delivered.Sequence} was delivered, but of its life {delivered.Life:x16} "
            + $"{config.ChannelId} at {config.Url} holds {holds}. {Ways("goes on with what waits here", "sends that as new")}";
    }

    /// <summary>Looks for what the receiver knows of this queue and the queue does not.</summary>
    private string? Unknown(ISenderQueue queue, HeldMarks held, MessageIdentity delivered)
    {
        if (held.Head == _acceptedHead && !_acceptedHead.IsNone) return null;
        var knowsNewer = false;
        for (var i = held.Lives.Count - 1; i >= 0; i--)
        {
            var mark = held.Lives[i];
            var knows = queue.Knows(mark.Life);
            if (!knows && !knowsNewer && mark.Life != delivered.Life)
            {
                return $"{config.ChannelId} at {config.Url} has messages of {config.Instance} that this gateway does not know (life {mark.Life:x16}): "
                    + $"it was wiped or put back to a backup, or another device uses its name. {Way(ResumeChoice.AcceptLoss)} ends this alarm.";
            }

            if (knows && Lost(queue, mark) is { } lost)
            {
                return $"Messages {lost} of the life {mark.Life:x16} had been stored here and were lost before they were delivered. "
                    + $"{Way(ResumeChoice.AcceptLoss)} ends this alarm.";
            }

            knowsNewer |= knows;
            // What lies behind the newest delivered message has been looked at before.
            if (mark.Life == delivered.Life) return null;
        }

        return null;
    }

    /// <summary>What the queue said to hold durably of a life, and neither it nor the receiver has.</summary>
    private static SequenceRange? Lost(ISenderQueue queue, LifeMark mark)
    {
        // The next life begins behind what was claimed, or, after a backup was put back, before it: then its numbers are given again.
        var known = mark.Sequence;
        if (queue.LifeOf(mark.Claimed, out var last) == mark.Life || queue.LifeOf(mark.Sequence, out last) == mark.Life) known = Math.Max(last, known);
        return known >= mark.Claimed ? null : new SequenceRange(known + 1, mark.Claimed);
    }

    private string Stop(string code, string sentence)
    {
        if (_stop?.Code != code) Log.ReceiverAlarm(log, channelId, code, sentence);
        _stop = (code, sentence);
        return sentence;
    }

    private void EndStop()
    {
        Log.ReceiverAlarmEnded(log, channelId, _stop!.Value.Code);
        _stop = null;
    }

    private string Receiver(ISenderQueue queue) => $"{queue.Receiver.Name} at {config.Url}";

    private string Ways(string acceptLoss, string resend) =>
        $"{Way(ResumeChoice.AcceptLoss)} {acceptLoss}; {Way(ResumeChoice.Resend)} {resend}.";

    private string Way(ResumeChoice choice) =>
        $"\"iobuffer channel resume {channelId} {(choice == ResumeChoice.Resend ? "--resend" : "--accept-loss")}\"";
}
