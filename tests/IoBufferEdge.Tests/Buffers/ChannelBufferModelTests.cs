using System.Buffers.Binary;
using CsCheck;
using IoBufferEdge.Buffers;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Tests.Buffers;

/// <summary>
/// The buffer against a model: random sequences of appends, deliveries, confirmations, ends of links, failing disks, kills, power
/// cuts and planned stops, on the real <see cref="ChannelBuffer"/> and <see cref="Committer"/> over the simulated disk. The model is a
/// list: which messages were ever seen secured, which ones a peer has read. CsCheck shrinks what fails.
/// </summary>
public sealed class ChannelBufferModelTests
{
    [Fact]
    public void NothingSecuredIsLostAndOrderHolds_CutThrough() => Check(DeliveryMode.CutThrough, iterations: 2000);

    [Fact]
    public void NothingSecuredIsLostAndOrderHolds_DurableFirst() => Check(DeliveryMode.DurableFirst, iterations: 1000);

    private static void Check(DeliveryMode mode, int iterations) =>
        Gen.Select(Gen.Int[0, 10_000], Gen.Select(Gen.Enum<Step>(), Gen.Int[0, 999]).List[1, 60]).Sample(
            (seed, steps) =>
            {
                var model = new Model(seed, mode);
                var failure = model.Run(steps);
                if (failure is not null) throw new InvalidOperationException(failure);
            },
            iter: iterations,
            threads: 1);

    private enum Step
    {
        Append,
        AppendMany,
        Take,
        Confirm,
        Wait,
        LinkUp,
        LinkEndsOrderly,
        LinkEndsByReset,
        Park,
        Kill,
        PowerCut,
        Stop,
        DiskFails,
        DiskWorks,
    }

    /// <summary>One scenario: the process under test, the disk that survives it, and what the world outside knows.</summary>
    private sealed class Model
    {
        private readonly Scheduler _scheduler;
        private readonly SimulatedDisk _disk;
        private readonly Random _random;
        private readonly DeliveryMode _mode;
        private readonly Dictionary<long, long> _idOf = [];
        private readonly HashSet<long> _securedIds = [];
        private readonly HashSet<long> _readIds = [];
        private readonly HashSet<long> _parkedSequences = [];
        private readonly List<DeliveryRun> _inFlight = [];
        private SimulatedProcess _process = null!;
        private SimulatedStore _store = null!;
        private Committer _committer = null!;
        private ChannelBuffer _buffer = null!;
        private long _nextId = 1;
        private long _highestRead;
        private long _lastOnLink;
        private bool _linkUp;
        private int _life;

        /// <summary>What an earlier life had not secured died with it.</summary>
        private long _lifeBegan;

        private string? _failure;

        public Model(int seed, DeliveryMode mode)
        {
            _scheduler = new Scheduler(seed);
            _disk = new SimulatedDisk(_scheduler);
            _random = _scheduler.Derive("model");
            _mode = mode;
        }

        public string? Run(List<(Step Step, int Argument)> steps)
        {
            Start();
            for (var i = 0; i < steps.Count; i++)
            {
                Do(steps[i].Step, steps[i].Argument);
                if ((_failure ??= _scheduler.Violation) is not null) return $"{_failure} (after {string.Join(", ", steps.Take(i + 1))})";
            }

            _disk.CommitFailureRate = 0;
            _disk.Full = false;
            Drain();
            return (_failure ?? _scheduler.Violation) is { } failure ? $"{failure} (in the end, after {string.Join(", ", steps)})" : null;
        }

        private void Do(Step step, int argument)
        {
            switch (step)
            {
                case Step.Append:
                    Append(1, 1 + argument);
                    break;
                case Step.AppendMany:
                    Append(50, 10 + argument * 5);
                    break;
                case Step.Take when _linkUp:
                    Take();
                    break;
                case Step.Confirm when _linkUp:
                    ConfirmSome(argument);
                    break;
                case Step.Wait:
                    Elapse(argument);
                    break;
                case Step.LinkUp when !_linkUp:
                    LinkUp(argument % 4 == 0 ? 1 : int.MaxValue);
                    break;
                case Step.LinkEndsOrderly when _linkUp:
                    ConfirmSome(999);
                    LinkEnds(orderly: true);
                    break;
                case Step.LinkEndsByReset when _linkUp:
                    LinkEnds(orderly: false);
                    break;
                case Step.Park when _linkUp && _inFlight.Count == 1 && _inFlight[0].Count == 1:
                    _parkedSequences.Add(_inFlight[0].FirstSequence);
                    _buffer.Park(_inFlight[0].FirstSequence);
                    _inFlight.Clear();
                    break;
                case Step.Kill:
                    Crash(power: false);
                    break;
                case Step.PowerCut:
                    Crash(power: true);
                    break;
                case Step.Stop:
                    Stop();
                    break;
                case Step.DiskFails:
                    _disk.CommitFailureRate = 0.7;
                    break;
                case Step.DiskWorks:
                    _disk.CommitFailureRate = 0;
                    break;
            }

            if (_committer.Completion.Exception is { } fault) Fail($"the committer failed: {fault}");
            NoteSecured();
            if (_buffer.Ledger is { Imbalance: not 0 } ledger) Fail($"the ledger does not balance: {ledger}");
        }

        private void Start()
        {
            _process = new SimulatedProcess(_scheduler, $"life{++_life}");
            var started = false;
            _process.Start(async () =>
            {
                _store = new SimulatedStore(_disk, _process);
                var opening = await _store.OpenAsync();
                var clock = new RunningClock(_process.Time, opening.RunningUs);
                _committer = new Committer(_store, clock, _life, 50, 1 << 30, _process.Time, NullLogger.Instance);
                var queue = opening.Queues.Count > 0 ? opening.Queues[0] : null;
                var settings = new QueueSettings { Delivery = _mode, WindowBytes = 1000, ResendBytes = 3000 };
                _buffer = new ChannelBuffer(
                    queue ?? new QueueOpening { Id = "q", Number = 1 }, queue is null, _life, settings, _store, _committer,
                    new MemoryBudget(1 << 20).OpenAccount(), clock, _process.Time);
                _buffer.OnLoss(range => Fail($"the buffer reports {range} as lost"));
                _committer.Start();
                started = true;
            });
            _scheduler.RunUntil(() => started, TimeSpan.FromSeconds(10));
            _lifeBegan = _buffer.LastSequence + 1;
        }

        private void Append(int count, int bytes)
        {
            Span<byte> payload = stackalloc byte[bytes + 8];
            for (var i = 0; i < count; i++)
            {
                BinaryPrimitives.WriteInt64LittleEndian(payload, _nextId);
                if (!_buffer.TryAppend(payload, MessageFlags.None, out var sequence)) break;
                if (!_idOf.TryAdd(sequence, _nextId)) Fail($"sequence {sequence} was given twice");
                _nextId++;
            }

            _buffer.Publish();
        }

        private void Take()
        {
            DeliveryRun? taken = null;
            var ended = false;
            _process.Start(async () =>
            {
                var run = await _buffer.TakeRunAsync();
                if (run.Count > 0) taken = run;
                ended = true;
            });
            if (!_scheduler.RunUntil(() => ended, TimeSpan.FromMilliseconds(30)))
            {
                // Nothing to deliver now: take the waiting call back.
                _buffer.StopTaking();
                _scheduler.RunUntil(() => ended, TimeSpan.FromSeconds(60));
                LinkEnds(orderly: false);
                LinkUp(int.MaxValue);
            }

            if (taken is { } got) Arrives(got);
        }

        private void Arrives(DeliveryRun run)
        {
            _inFlight.Add(run);
            for (var i = 0; i < run.Count; i++)
            {
                var sequence = run.FirstSequence + i;
                var id = BinaryPrimitives.ReadInt64LittleEndian(run.Message(i).Span);
                if (!_idOf.TryGetValue(sequence, out var expected) || expected != id) Fail($"sequence {sequence} carries message {id}, not {expected}");
                if (sequence <= _lastOnLink) Fail($"sequence {sequence} comes after {_lastOnLink} on one link");
                if (_parkedSequences.Contains(sequence) && sequence <= _buffer.Cursor) Fail($"parked {sequence} was sent");
                _lastOnLink = sequence;
                if (!_readIds.Add(id)) continue;
                if (sequence < _highestRead) Fail($"sequence {sequence} is read for the first time after {_highestRead}");
                foreach (var (earlier, earlierId) in _idOf)
                    if (earlier < sequence && _securedIds.Contains(earlierId) && !_readIds.Contains(earlierId) && !_parkedSequences.Contains(earlier))
                        Fail($"sequence {sequence} is read while secured {earlier} is missing");
                _highestRead = sequence;
            }
        }

        private void ConfirmSome(int argument)
        {
            if (_inFlight.Count == 0) return;
            var run = _inFlight[^1];
            var some = _inFlight[argument % _inFlight.Count];
            var upTo = argument == 999 ? run.LastSequence : some.FirstSequence + argument / 7 % some.Count;
            _buffer.Confirm(upTo);
            _inFlight.RemoveAll(r => r.LastSequence <= upTo);
        }

        private void LinkUp(int maxInFlight)
        {
            _buffer.BeginLink(maxInFlight);
            _linkUp = true;
            _lastOnLink = 0;
        }

        private void LinkEnds(bool orderly)
        {
            _buffer.StopTaking();
            _buffer.EndLink(new LinkEnd(orderly, "test"));
            _inFlight.Clear();
            _linkUp = false;
        }

        private void Crash(bool power)
        {
            NoteSecured();
            _process.Kill();
            if (power) _disk.PowerCut();
            _inFlight.Clear();
            _linkUp = false;
            Start();

            // A park that was not durable died with the process: the message is delivered like any other.
            _parkedSequences.RemoveWhere(sequence => sequence > _buffer.Cursor);
        }

        private void Stop()
        {
            if (_disk.CommitFailureRate > 0) return;
            if (_linkUp) LinkEnds(_random.Next(2) == 0);
            var ended = false;
            _process.Start(async () =>
            {
                _buffer.Flush(true);
                await _buffer.WaitSecuredAsync(_buffer.LastSequence, default);
                _buffer.WriteBackKept();
                if (!await _buffer.WaitFlushedAsync(TimeSpan.FromSeconds(20), _process.Time)) Fail("the flush did not end");
                ended = true;
            });
            _scheduler.RunUntil(() => ended || _failure is not null, TimeSpan.FromSeconds(60));
            if (_committer.Completion.Exception is { } fault) Fail($"the committer failed: {fault}");
            if (!ended) Fail($"the stop did not end: last {_buffer.LastSequence}, cursor {_buffer.Cursor}, durable {_buffer.DurableSequence}");
            NoteSecured();
            _process.Kill();
            Start();
        }

        private void Drain()
        {
            if (_linkUp) LinkEnds(orderly: true);
            Elapse(6000);
            LinkUp(int.MaxValue);
            for (var i = 0; i < 20_000 && _failure is null && _buffer.Cursor < _buffer.LastSequence; i++)
            {
                Take();
                ConfirmSome(999);
                if (!_linkUp) LinkUp(int.MaxValue);
            }

            if (_failure is not null) return;
            if (_buffer.Cursor < _buffer.LastSequence) Fail($"not drained: cursor {_buffer.Cursor}, last {_buffer.LastSequence}");
            foreach (var (sequence, id) in _idOf)
                if (_securedIds.Contains(id) && !_readIds.Contains(id) && !_parkedSequences.Contains(sequence))
                    Fail($"secured message {id} (sequence {sequence}) was never read");
        }

        private void Elapse(int ms)
        {
            var end = _scheduler.NowTicks + TimeSpan.FromMilliseconds(ms).Ticks;
            _scheduler.RunUntil(() => _scheduler.NowTicks > end, TimeSpan.FromMilliseconds(ms));
        }

        private void NoteSecured()
        {
            var secured = _buffer.SecuredSequence;
            foreach (var (sequence, id) in _idOf)
                if (sequence >= _lifeBegan && sequence <= secured) _securedIds.Add(id);
        }

        private void Fail(string sentence) => _failure ??= sentence;
    }
}
