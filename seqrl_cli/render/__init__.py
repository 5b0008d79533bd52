"""Makes a video from a planned episode.

=================  ==================================================================================================
``video``          renders an episode: ``render_episode`` chooses steps and a view, composes frames, writes the video
``states``         the body of an environment, and the positions that a plan passes through
``view``           the camera, poses, and the ``View`` protocol that draws them
``mujoco_view``    a view with MuJoCo's renderer (EGL or OSMesa)
``software_view``  a view without OpenGL, in NumPy
``replay``         pictures by replaying the actions in the environment, where states cannot be drawn
``compose``        one frame: panels, titles, notes
``grid``           several episodes in one video, as tiles
``encode``         frames to GIF or MP4
=================  ==================================================================================================
"""
